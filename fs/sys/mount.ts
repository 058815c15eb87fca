import { type ByteString, firstPath, secondPath } from './bytes.ts';
import { bind, bindAsync, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeMount = bind(
  'int mount(uintptr_t source, uintptr_t target, uintptr_t type, unsigned long flags, uintptr_t data)',
);
const nativeUmount2 = bind('int umount2(uintptr_t target, int flags)');

const typeName = new Memory(64);
// mount(2) reads at most one page of data.
const mountData = new Memory(4096);

function put(memory: Memory, text: ByteString): number {
  const length = memory.bytes.write(text, 0, memory.size - 1, 'latin1');
  memory.bytes[length] = 0;
  return memory.address;
}

/** mount(2). An empty `type` or `data` is passed as NULL. */
export function mount(
  source: ByteString,
  target: ByteString,
  type: ByteString,
  flags: number,
  data: ByteString = '',
): number {
  const typeAddress = type === '' ? 0 : put(typeName, type);
  const dataAddress = data === '' ? 0 : put(mountData, data);
  return result(nativeMount(firstPath(source), secondPath(target), typeAddress, flags, dataAddress));
}

/** umount2(2); `flags` of MNT_DETACH and UMOUNT_NOFOLLOW. */
export function umount(target: ByteString, flags: number): number {
  return result(nativeUmount2(firstPath(target), flags));
}

const umount2OnPool = bindAsync('int umount2(uintptr_t target, int flags)');

/**
 * umount2(2) on a thread of libuv's pool: it waits for the filesystem, which may be served by this very process.
 */
export async function umountAsync(target: ByteString, flags: number): Promise<number> {
  const path = new Memory(target.length + 1);
  path.bytes.write(target, 'latin1');
  return umount2OnPool(path.address, flags).finally(() => path.bytes.fill(0));
}
