import { CfsError, withContext } from "../../errors.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { Fd } from "../../sys/fd.ts";
import { pwriteAll } from "../../sys/file.ts";
import type { Descriptor } from "../descriptor.ts";
import type { SourceContext } from "../open-source.ts";
import type { DaemonReference } from "../reference.ts";
import type { BlobReader, BlobStore, FoundManifest, ImageSource } from "../source.ts";
import { DockerArchiveSource } from "./docker-archive.ts";
import { type DaemonAddress, daemonAddress } from "./docker-host.ts";
import { TarFile } from "./tar-file.ts";

/** A daemon that sends more than this is not trusted with the disk. */
const MAX_ARCHIVE_SIZE = 256 * 1024 ** 3;
/** Bytes of an error that are looked at. */
const MAX_REPLY = 64 * 1024;

export function openDockerDaemon({ image }: DaemonReference, context: SourceContext): DockerDaemonSource {
  return new DockerDaemonSource(image, daemonAddress(process.env), context);
}

/**
 * An image of a docker daemon, which gives it away as `docker save` writes it (Docker Engine API, "Export an image").
 * It is fetched into an unnamed file when its manifest is asked for.
 */
export class DockerDaemonSource implements ImageSource, BlobStore {
  readonly label: string;
  readonly #image: string;
  readonly #address: DaemonAddress;
  readonly #context: SourceContext;
  #archive: DockerArchiveSource | undefined;

  constructor(image: string, address: DaemonAddress, context: SourceContext) {
    this.label = `docker daemon: ${image}`;
    this.#image = image;
    this.#address = address;
    this.#context = context;
  }

  async manifest(): Promise<FoundManifest> {
    this.#archive ??= await this.#fetch();
    return await this.#archive.manifest();
  }

  get blobs(): BlobStore {
    return this;
  }

  readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#fetched.readDocument(descriptor, max, what);
  }

  openBlob(descriptor: Descriptor): Promise<BlobReader> {
    return this.#fetched.openBlob(descriptor);
  }

  get #fetched(): DockerArchiveSource {
    if (this.#archive === undefined) throw new CfsError("Invalid", `${this.label} has not been fetched`);
    return this.#archive;
  }

  async #fetch(): Promise<DockerArchiveSource> {
    const { selection, temporaryDirectory } = this.#context;
    const file = new Fd(openTemporary(temporaryDirectory), "temporary file for the image of the daemon");
    try {
      await save(this.#address, this.#image, file);
    } catch (error) {
      file.close();
      throw withContext(this.label, error);
    }
    const archive = TarFile.from(file, temporaryDirectory, this.label);
    return new DockerArchiveSource(this.label, archive, undefined, selection, temporaryDirectory);
  }

  [Symbol.dispose](): void {
    this.#archive?.[Symbol.dispose]();
  }
}

/** Has the daemon write an image into a file. @throws CfsError Network, NotFound */
async function save(address: DaemonAddress, image: string, file: Fd): Promise<void> {
  const name = image.split("/").map(encodeURIComponent).join("/").replaceAll("%3A", ":");
  const response = await request(address, `/images/${name}/get`);
  if (response.status !== 200) throw await refusal(response, image);
  let size = 0;
  try {
    for await (const piece of response.body ?? []) {
      if (size + piece.length > MAX_ARCHIVE_SIZE)
        throw new CfsError("Invalid", `the image has more than ${MAX_ARCHIVE_SIZE} bytes`);
      pwriteAll(file.fd, piece, size, file.path);
      size += piece.length;
    }
  } catch (error) {
    if (error instanceof CfsError) throw error;
    throw new CfsError("Network", `the docker daemon broke off after ${size} bytes`, { cause: error });
  }
}

async function request({ url, socket, tls }: DaemonAddress, path: string): Promise<Response> {
  try {
    return await fetch(url + path, {
      ...(socket !== undefined && { unix: socket }),
      ...(tls !== undefined && { tls }),
      redirect: "error",
      decompress: false,
      proxy: false,
      // Packing a large image may take the daemon longer than any limit.
      timeout: false,
    } as BunFetchRequestInit);
  } catch (error) {
    const { code } = error as { code?: unknown };
    const why = typeof code === "string" ? ` (${code})` : "";
    throw new CfsError("Network", `can't reach the docker daemon at ${socket ?? url}${why}`, {
      hint: "is it running, and may this user talk to it? DOCKER_HOST names another one",
    });
  }
}

async function refusal(response: Response, image: string): Promise<CfsError> {
  const message = await replyMessage(response);
  if (response.status === 404) {
    return new CfsError("NotFound", `the docker daemon has no image ${image}${message}`, {
      hint: "`docker images` lists what it has",
    });
  }
  return new CfsError("Network", `the docker daemon answered with status ${response.status}${message}`);
}

/** What the daemon says about an error, `{"message": …}`; it is shown, not trusted. */
async function replyMessage(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of response.body ?? []) {
      pieces.push(piece);
      size += piece.length;
      if (size > MAX_REPLY) return "";
    }
    const { message } = JSON.parse(Buffer.concat(pieces).toString()) as { message?: unknown };
    return typeof message === "string" ? `: ${message.slice(0, 200)}` : "";
  } catch {
    return "";
  }
}
