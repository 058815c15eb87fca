import { type OwnerNames } from '../../image/pack.ts';
import { type Container } from '../container.ts';
import { type IdMappings, insideOf, outsideOf } from './id-mappings.ts';

/** The ids of a container that has users of its own. */
export function mappingsOf({ config }: Container): IdMappings | undefined {
  return config.options?.namespaces.users?.mappings;
}

/** Owners as a container knows them, of those outside. */
export function namesInside(mappings: IdMappings | undefined): OwnerNames | undefined {
  if (mappings === undefined) return undefined;
  return { uid: (id) => insideOf(mappings.users, id), gid: (id) => insideOf(mappings.groups, id) };
}

/** Owners outside, of those whom a container knows; whom it does not know is its root. */
export function namesOutside(mappings: IdMappings | undefined): OwnerNames | undefined {
  if (mappings === undefined) return undefined;
  const { users, groups } = mappings;
  return {
    uid: (id) => outsideOf(users, id) ?? outsideOf(users, 0) ?? id,
    gid: (id) => outsideOf(groups, id) ?? outsideOf(groups, 0) ?? id,
  };
}
