/** What an image runs on, in Go's words, as OCI has it. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** `v7` of arm and the like; empty where there is none. */
  readonly variant: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** This machine's. */
export function hostPlatform(): Platform {
  return { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch, variant: '' };
}

/** `linux/arm64` or `linux/arm/v7`. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant = '', ...rest] = text.split('/');
  if (!os || !architecture || rest.length > 0) {
    throw new Error(`platform ${JSON.stringify(text)} is not OS/ARCHITECTURE[/VARIANT], as in linux/amd64`);
  }
  return { os, architecture, variant: normalVariant(architecture, variant) };
}

export function describePlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant === '' ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

// arm64's only variant in use is v8, mostly left out.
function normalVariant(architecture: string, variant: string): string {
  return architecture === 'arm64' && variant === 'v8' ? '' : variant;
}

/** Whether an image for `offered` is what `wanted` asks for; a variant that is not named matches any. */
export function platformMatches(wanted: Platform, offered: Platform): boolean {
  if (wanted.os !== offered.os || wanted.architecture !== offered.architecture) return false;
  const variant = normalVariant(offered.architecture, offered.variant);
  return wanted.variant === '' || wanted.variant === variant;
}
