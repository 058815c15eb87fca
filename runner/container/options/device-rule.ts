/** Devices that a container may use. */
export interface DeviceRule {
  /** Block, character, or all. */
  readonly type: 'a' | 'b' | 'c';
  /** Any, where it is absent. */
  readonly major?: number | undefined;
  readonly minor?: number | undefined;
  /** `r`, `w` and `m` for mknod(2). */
  readonly access: string;
}

/** `c 10:229 rwm`, with `*` for any number, as docker's --device-cgroup-rule. */
export function parseDeviceRule(text: string): DeviceRule {
  const [, type, major, minor, access] = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text.trim()) ?? [];
  if (type === undefined || access === undefined) {
    throw new Error(
      `--device-cgroup-rule ${JSON.stringify(text)} is not TYPE MAJOR:MINOR ACCESS, such as "c 10:* rwm"`,
    );
  }
  const number = (digits = '*'): number | undefined => (digits === '*' ? undefined : Number(digits));
  return { type: type as DeviceRule['type'], major: number(major), minor: number(minor), access };
}
