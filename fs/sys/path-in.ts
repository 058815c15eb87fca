/**
 * Path of a name in a directory whose own path is a normal one, and not that of the root.
 *
 * `join` of node:path looks at each character: 8 µs for the group or the layer of a container, 250 of which are formed for a
 * start, and V8 took 4 ms of another processor to optimise it each time.
 */
export function pathIn(directory: string, name: string): string {
  return `${directory}/${name}`;
}
