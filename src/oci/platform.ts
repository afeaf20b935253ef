import { endianness } from "node:os";
import { CfsError } from "../errors.ts";

/** For what an image is made, in the words of the Go language (OCI image index, `platform`). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  mipsel: "mipsle",
  ppc64: endianness() === "LE" ? "ppc64le" : "ppc64",
};

export function hostPlatform(): Platform {
  return { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch };
}

/** Parses `OS/ARCH` or `OS/ARCH/VARIANT`. @throws CfsError Usage */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...more] = text.split("/");
  const isWord = (part: string | undefined) => part !== undefined && /^[A-Za-z0-9._-]+$/.test(part);
  const isValid =
    isWord(os) && isWord(architecture) && (variant === undefined || isWord(variant)) && more.length === 0;
  if (!isValid)
    throw new CfsError("Usage", `invalid platform "${text}": expected OS/ARCH or OS/ARCH/VARIANT`);
  return {
    os: os!,
    architecture: architecture!,
    ...(variant === undefined ? {} : { variant }),
  };
}

/** Variants of architectures, each able to run what is made for those behind it. */
const COMPATIBLE: Readonly<Record<string, readonly string[]>> = {
  amd64: ["v4", "v3", "v2", "v1"],
  arm: ["v8", "v7", "v6", "v5"],
  arm64: ["v8"],
};

/**
 * How well an image made for `offered` suits: 0 is best, undefined means not at all. Where a variant is asked for,
 * older ones are taken as well, and images that don't name theirs last. Where none is, images without one come first,
 * then the most modest.
 */
export function rankPlatform(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const known = COMPATIBLE[wanted.architecture] ?? [];
  const variant = offered.variant ?? "";
  if (wanted.variant === undefined) {
    const place = ["", ...known.toReversed()].indexOf(variant);
    return place < 0 ? known.length + 1 : place;
  }
  const from = known.indexOf(wanted.variant);
  const suitable = [...(from < 0 ? [wanted.variant] : known.slice(from)), ""];
  const place = suitable.indexOf(variant);
  return place < 0 ? undefined : place;
}

/** Whether this is what indexes say of manifests that are no images: attestations and the like. */
export function isNoPlatform({ os, architecture }: Platform): boolean {
  return os === "unknown" && architecture === "unknown";
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}
