dnl SPDX-License-Identifier: BSD-3-Clause
dnl VC_ARG_SWITCH(NAME, HELP): --enable-NAME, default no.
AC_DEFUN([VC_ARG_SWITCH],
  [AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [],
    [AS_VAR_SET([enable_]m4_translit([$1], [-], [_]), [no])])])

dnl VC_WARN_ADD(FLAG): append FLAG to WARN_CFLAGS when the compiler takes it.
AC_DEFUN([VC_WARN_ADD],
  [AC_MSG_CHECKING([whether $CC takes $1])
   vc_save_CFLAGS=$CFLAGS
   CFLAGS="$CFLAGS -Werror $1"
   AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
     [AC_MSG_RESULT([yes]); WARN_CFLAGS="$WARN_CFLAGS $1"],
     [AC_MSG_RESULT([no])])
   CFLAGS=$vc_save_CFLAGS])
