import { closeSync, fstatSync, readSync } from 'node:fs';
import { firstPath } from './bytes.ts';
import { EEXIST, check } from './errno.ts';
import { Memory, copyBytes } from './memory.ts';
import { createMemoryFile } from './memory-file.ts';
import { loadShared } from './shared-library.ts';

type Native = (...parameters: number[]) => number;

interface Library {
  readonly version: Native;
  readonly init: Native;
  readonly release: Native;
  readonly addArchitecture: Native;
  readonly setAttribute: Native;
  readonly resolve: Native;
  readonly resolveOn: Native;
  readonly addRule: Native;
  readonly exportBpf: Native;
}

const SONAME = 'libseccomp.so.2';
const REMEDY = 'install it (apt-get install libseccomp2), or run without a filter: --security-opt seccomp=unconfined';

let library: Library | undefined;

function load(): Library {
  if (library !== undefined) return library;
  const loaded = loadShared(SONAME, "cannot compile the container's seccomp profile", REMEDY);
  const bind = (prototype: string) => loaded.func(prototype) as Native;
  library = {
    version: bind('uintptr_t seccomp_version()'),
    init: bind('uintptr_t seccomp_init(uint32_t action)'),
    release: bind('void seccomp_release(uintptr_t filter)'),
    addArchitecture: bind('int seccomp_arch_add(uintptr_t filter, uint32_t token)'),
    setAttribute: bind('int seccomp_attr_set(uintptr_t filter, int attribute, uint32_t value)'),
    resolve: bind('int seccomp_syscall_resolve_name(uintptr_t name)'),
    resolveOn: bind('int seccomp_syscall_resolve_name_arch(uint32_t token, uintptr_t name)'),
    addRule: bind(
      'int seccomp_rule_add_array(uintptr_t filter, uint32_t action, int call, uint32_t count, uintptr_t arguments)',
    ),
    exportBpf: bind('int seccomp_export_bpf(uintptr_t filter, int fd)'),
  };
  return library;
}

// struct scmp_version: major, minor, micro.
const VERSION_SIZE = 12;

/** The library's version, such as `2.5.4`; throws, with the remedy, where there is none. */
export function libseccompVersion(): string {
  const numbers = new Memory(VERSION_SIZE);
  copyBytes(numbers.address, load().version(), VERSION_SIZE);
  return [0, 4, 8].map((at) => numbers.view.getUint32(at, true)).join('.');
}

/** Number of a system call on an architecture, or a negative number where it has none or the library knows no such name. */
export function syscallNumberOn(architecture: number, name: string): number {
  return load().resolveOn(architecture, firstPath(name));
}

/** enum scmp_compare of seccomp.h. */
export const COMPARE = { ne: 1, lt: 2, le: 3, eq: 4, ge: 5, gt: 6, maskedEq: 7 } as const;

/** One condition on an argument of a system call, compared as 64 bits without a sign. */
export interface ArgumentCondition {
  readonly index: number;
  readonly compare: number;
  readonly value: bigint;
  /** What the masked argument must be, for `maskedEq`. */
  readonly valueTwo: bigint;
}

// struct scmp_arg_cmp: index, comparison, two values of 64 bits.
const CONDITION_SIZE = 24;
const MOST_ARGUMENTS = 6;

// enum scmp_filter_attr of seccomp.h.
const ATTRIBUTE_NO_NEW_PRIVS = 3;
const ATTRIBUTE_OPTIMIZE = 8;
const BINARY_TREE = 2;
const UNKNOWN_CALL = -1;

/** A filter in the making, on libseccomp. Actions and architectures are the kernel's own numbers. */
export class SeccompCompiler {
  readonly #library = load();
  readonly #conditions = new Memory(CONDITION_SIZE * MOST_ARGUMENTS);
  #filter: number;

  constructor(defaultAction: number) {
    this.#filter = this.#library.init(defaultAction);
    if (this.#filter === 0) throw new Error(`libseccomp refuses the default action 0x${defaultAction.toString(16)}`);
    this.#library.setAttribute(this.#filter, ATTRIBUTE_NO_NEW_PRIVS, 0);
    // Of version 2.5: without it, the filter is a list that each system call walks.
    this.#library.setAttribute(this.#filter, ATTRIBUTE_OPTIMIZE, BINARY_TREE);
  }

  /** Adds one besides the machine's own. */
  addArchitecture(token: number): void {
    const added = this.#library.addArchitecture(this.#filter, token);
    if (added !== -EEXIST) check(added, `add architecture 0x${token.toString(16)} to a seccomp filter`);
  }

  /** All conditions must hold; answers false where the library knows no such system call. */
  addRule(name: string, action: number, conditions: readonly ArgumentCondition[]): boolean {
    const call = this.#library.resolve(firstPath(name));
    if (call === UNKNOWN_CALL) return false;
    conditions.forEach(({ index, compare, value, valueTwo }, position) => {
      const at = position * CONDITION_SIZE;
      this.#conditions.view.setUint32(at, index, true);
      this.#conditions.view.setUint32(at + 4, compare, true);
      this.#conditions.view.setBigUint64(at + 8, value, true);
      this.#conditions.view.setBigUint64(at + 16, valueTwo, true);
    });
    const added = this.#library.addRule(this.#filter, action, call, conditions.length, this.#conditions.address);
    if (added !== -EEXIST) check(added, `add a rule for ${name} to a seccomp filter`);
    return true;
  }

  /** The filter as the kernel takes it: struct sock_filter, one after the other. */
  export(): Buffer {
    const fd = createMemoryFile();
    try {
      check(this.#library.exportBpf(this.#filter, fd), 'compile a seccomp filter');
      const program = Buffer.alloc(fstatSync(fd).size);
      for (let at = 0; at < program.length;) at += readSync(fd, program, at, program.length - at, at);
      return program;
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    this.#library.release(this.#filter);
    this.#filter = 0;
  }
}
