import { totalmem } from 'node:os';
import { readControl, readTable } from './files.ts';
import { type GroupRecord, directoryOf, unifiedOf } from './group.ts';

/** What a container's processes have used, all told, and use now. */
export interface Usage {
  /** Nanoseconds of CPU time. */
  readonly cpu: number;
  /** Bytes, without what of the page cache can go at once. */
  readonly memory: number;
  /** Bytes; the machine's memory where there is no limit. */
  readonly memoryLimit: number;
  readonly processes: number;
  /** Bytes. */
  readonly blockRead: number;
  readonly blockWritten: number;
}

/** What the group's files say; what has no controller is 0. */
export function usageOf(record: GroupRecord): Usage {
  return { cpu: cpuTime(record), ...memoryUse(record), processes: processCount(record), ...blockTraffic(record) };
}

function cpuTime(record: GroupRecord): number {
  const v1 = directoryOf(record, 'cpuacct');
  if (v1?.version === 1) return Number(readControl(v1.path, 'cpuacct.usage') ?? 0);
  const unified = unifiedOf(record);
  return unified === undefined ? 0 : 1000 * (readTable(unified.path, 'cpu.stat').get('usage_usec') ?? 0);
}

function memoryUse(record: GroupRecord): Pick<Usage, 'memory' | 'memoryLimit'> {
  const directory = directoryOf(record, 'memory');
  if (directory === undefined) return { memory: 0, memoryLimit: totalmem() };
  const { version, path } = directory;
  const [usage, limit, cache] =
    version === 1
      ? (['memory.usage_in_bytes', 'memory.limit_in_bytes', 'total_inactive_file'] as const)
      : (['memory.current', 'memory.max', 'inactive_file'] as const);
  const used = Number(readControl(path, usage) ?? 0);
  const droppable = readTable(path, 'memory.stat').get(cache) ?? 0;
  // "max", or a number beyond all memory.
  const told = Number(readControl(path, limit));
  const memoryLimit = told > 0 && told < totalmem() ? told : totalmem();
  return { memory: droppable < used ? used - droppable : used, memoryLimit };
}

function processCount(record: GroupRecord): number {
  const directory = directoryOf(record, 'pids');
  return directory === undefined ? 0 : Number(readControl(directory.path, 'pids.current') ?? 0);
}

function blockTraffic(record: GroupRecord): Pick<Usage, 'blockRead' | 'blockWritten'> {
  const v1 = directoryOf(record, 'blkio');
  if (v1 !== undefined) {
    const text = readControl(v1.path, 'blkio.throttle.io_service_bytes_recursive') ?? '';
    return { blockRead: sum(text, /^\d+:\d+ Read (\d+)$/gm), blockWritten: sum(text, /^\d+:\d+ Write (\d+)$/gm) };
  }
  const text = readControl(directoryOf(record, 'io')?.path ?? '', 'io.stat') ?? '';
  return { blockRead: sum(text, /\brbytes=(\d+)/g), blockWritten: sum(text, /\bwbytes=(\d+)/g) };
}

function sum(text: string, numbers: RegExp): number {
  return [...text.matchAll(numbers)].reduce((total, match) => total + Number(match[1]), 0);
}

/** Whether the kernel has killed a process of the group for want of memory. */
export function hasRunOutOfMemory(record: GroupRecord): boolean {
  const directory = directoryOf(record, 'memory');
  if (directory === undefined) return false;
  const file = directory.version === 1 ? 'memory.oom_control' : 'memory.events';
  return (readTable(directory.path, file).get('oom_kill') ?? 0) > 0;
}
