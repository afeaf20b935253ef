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

/** Whether an image made for `offered` is what was asked for; a variant counts only when it is asked for. */
export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  return (
    offered.os === wanted.os &&
    offered.architecture === wanted.architecture &&
    (wanted.variant === undefined || offered.variant === wanted.variant)
  );
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}
