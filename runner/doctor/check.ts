/** What one look at the host found. */
export interface Check {
  /** What was looked at, in a word or three. */
  readonly name: string;
  /** `no` is in the way of something; `partly` works with less. */
  readonly verdict: 'yes' | 'partly' | 'no';
  readonly detail: string;
  /** What mends it: a command, where there is one. */
  readonly remedy?: string;
}

export function yes(name: string, detail: string): Check {
  return { name, verdict: 'yes', detail };
}

export function partly(name: string, detail: string, remedy?: string): Check {
  return { name, verdict: 'partly', detail, ...(remedy === undefined ? {} : { remedy }) };
}

export function no(name: string, detail: string, remedy?: string): Check {
  return { name, verdict: 'no', detail, ...(remedy === undefined ? {} : { remedy }) };
}
