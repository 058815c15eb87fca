# A C program of several files, with a static and a shared library that ldconfig enters.
set -eu
mkdir /srv/build
cd /srv/build
echo 'int answer(void) { return 42; }' >answer.c
printf '#include <stdio.h>\nint answer(void);\nint main(void) { return printf("%%d\\n", answer()) < 0; }\n' >main.c
gcc -O2 -c answer.c main.c
ar rc libanswer.a answer.o
gcc -o static main.o -L. -lanswer
test "$(./static)" = 42
gcc -shared -fPIC -o /usr/local/lib/libanswer.so answer.c
rm libanswer.a
gcc -o shared main.c -L/usr/local/lib -lanswer
! ./shared 2>/dev/null
ldconfig
./shared
