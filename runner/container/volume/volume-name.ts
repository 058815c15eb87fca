const FORM = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/;

/** Docker's rule for names of volumes. */
export function checkVolumeName(name: string): string {
  if (FORM.test(name)) return name;
  throw new Error(
    `volume name ${JSON.stringify(name.slice(0, 200))} is not valid: letters, digits, "_", "." and "-", the first a letter or digit (a path of the host begins with "/" or ".")`,
  );
}
