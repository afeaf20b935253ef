import { fileURLToPath } from "node:url";
import { CfsError, withContext } from "../../errors.ts";
import { DEFAULT_TIMEOUTS, HttpClient } from "../../http/client.ts";
import { Attempts, DEFAULT_RETRIES } from "../../http/retry.ts";
import { ENOENT, ENOTDIR, isErrno } from "../../sys/errno.ts";
import { O_NONBLOCK, O_RDONLY, open, readSmallFile } from "../../sys/file.ts";
import { digestAlgorithm, digestHex, type OciDigest } from "../digest.ts";
import { connectionsTo } from "../registry/connection-settings.ts";
import { replyError } from "../registry/reply-error.ts";
import type { DockerReference, RegistryConfiguration } from "../registry/types.ts";
import { type Finder, MAX_SIGNATURE_SIZE, MAX_SIGNATURES } from "./found-signatures.ts";

/**
 * Finds the simple signatures of a manifest in a lookaside storage (containers-registries.d(5)):
 * `BASE/PATH@sha256=HEX/signature-N`, N from 1 on without gaps.
 * @param base URL without a slash at the end: http, https or file.
 */
export async function findInLookaside(
  base: string,
  { path }: DockerReference,
  digest: OciDigest,
  configuration: RegistryConfiguration,
  finder: Finder<Uint8Array>,
): Promise<void> {
  const folder = new URL(base);
  folder.pathname = `${folder.pathname.replace(/\/$/, "")}/${path}@${digestAlgorithm(digest)}=${digestHex(digest)}`;
  finder.places.push(`at ${display(folder)}`);
  const read = folder.protocol === "file:" ? readLocal : remoteReader(configuration);
  for (let n = 1; n <= MAX_SIGNATURES + 1; n++) {
    const url = new URL(folder);
    url.pathname += `/signature-${n}`;
    const bytes = await read(url);
    if (bytes === undefined) return;
    finder.add(display(url), bytes);
  }
}

/** Without a password that may be in it. */
function display(url: URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  shown.search = "";
  return shown.href;
}

async function readLocal(url: URL): Promise<Uint8Array | undefined> {
  return readSignatureFile(fileURLToPath(url));
}

/** @returns undefined when there is no such file. */
export function readSignatureFile(path: string): Uint8Array | undefined {
  try {
    using file = open(path, O_RDONLY | O_NONBLOCK);
    return readSmallFile(file, MAX_SIGNATURE_SIZE);
  } catch (error) {
    if (isErrno(error, ENOENT) || isErrno(error, ENOTDIR)) return undefined;
    throw withContext(`signature ${path}`, error);
  }
}

function remoteReader(configuration: RegistryConfiguration): (url: URL) => Promise<Uint8Array | undefined> {
  const client = new HttpClient(connectionsTo(configuration), DEFAULT_TIMEOUTS, false, new Map());
  const { signal } = new AbortController();
  return (url) =>
    new Attempts(DEFAULT_RETRIES, signal).run(async () => {
      const reply = await client.send({ method: "GET", url, headers: {}, signal });
      if (reply.status === 200) return await reply.bytes(MAX_SIGNATURE_SIZE, "signature");
      if (reply.status !== 404 && reply.status !== 410)
        throw await replyError(reply, {
          host: url.host,
          what: `signature ${display(url)}`,
          credentials: undefined,
        });
      await reply.discard();
      return undefined;
    });
}

/** @throws CfsError Invalid when a URL of the configuration has a query, with which paths can't be extended. */
export function checkLookaside(base: string): void {
  const url = URL.parse(base);
  if (url === null || url.search !== "" || url.hash !== "")
    throw new CfsError("Invalid", `the lookaside storage ${base} is not a URL that paths can be added to`);
}
