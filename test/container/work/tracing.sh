# Tracers, which need CAP_SYS_PTRACE of nobody here but their own children.
set -eu
strace -f -o /tmp/trace -e trace=execve sh -c '/bin/true; :'
grep -q 'execve("/bin/true"' /tmp/trace
printf 'int main(void) { return 3; }\n' >/tmp/traced.c
gcc -g -o /tmp/traced /tmp/traced.c
gdb -batch -ex 'break main' -ex run -ex bt -ex kill /tmp/traced 2>&1 | grep -q '^#0  main () at /tmp/traced.c:1'
