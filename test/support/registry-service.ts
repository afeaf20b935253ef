import type { HttpAnswer } from "./http-server.ts";
import { digestOf } from "./oci-layout.ts";
import { errorAnswer, type Gate, json } from "./registry-auth.ts";
import { parseManifest, type RegistryContent } from "./registry-content.ts";

/** What a registry can do; see RegistryOptions. */
export interface Abilities {
  readonly ranges: "all" | "single" | "none";
  readonly listsReferrers: boolean;
  readonly mounts: boolean;
  /** Where blobs are redirected to, without the digest. */
  readonly storage: string | undefined;
}

/** An answer, and what its body consists of when it comes from a blob. */
export interface BlobAnswer extends HttpAnswer {
  readonly blob?: {
    readonly digest: string;
    /** Ranges of the blob in the body: where they stand in it. */
    readonly parts: readonly { readonly at: number; readonly from: number; readonly length: number }[];
  };
}

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: AsyncGenerator<Uint8Array<ArrayBuffer>, void>;
}

interface Upload {
  readonly repository: string;
  readonly pieces: Uint8Array[];
  size: number;
}

const MAX_MANIFEST = 4 << 20;

/** The end points of the distribution specification. */
export class RegistryService {
  readonly #content: RegistryContent;
  readonly #gate: Gate;
  readonly #url: string;
  readonly #abilities: Abilities;
  readonly #uploads = new Map<string, Upload>();

  constructor(content: RegistryContent, gate: Gate, url: string, abilities: Abilities) {
    this.#content = content;
    this.#gate = gate;
    this.#url = url;
    this.#abilities = abilities;
  }

  async answer(call: Call): Promise<BlobAnswer> {
    const { method, path, query, headers } = call;
    if (path === "/token") {
      const form = new URLSearchParams((await collect(call.body)).toString());
      return this.#gate.issue(method, headers, query, form);
    }
    const stored = /^\/storage\/(.+)$/.exec(path)?.[1];
    if (stored !== undefined)
      return this.#blob(stored, this.#content.anyBlob(stored), headers.get("range"), false);
    if (path === "/v2/") return this.#gate.check(headers, this.#url, []) ?? json(200, {});

    const [, repository = "", kind = "", rest = ""] =
      /^\/v2\/(.+?)\/(manifests|blobs|tags|referrers)\/(.*)$/.exec(path) ?? [];
    if (kind === "") return errorAnswer(404, "UNSUPPORTED", "no such end point");
    const refused = this.#gate.check(headers, this.#url, this.#actions(call, repository));
    if (refused !== undefined) return refused;
    if (kind === "tags") return this.#tags(repository, query);
    if (kind === "referrers") return this.#referrers(repository, rest, query);
    if (kind === "manifests") {
      return method === "PUT"
        ? this.#putManifest(call, repository, rest)
        : this.#manifest(repository, rest, headers);
    }
    const upload = /^uploads\/(.*)$/.exec(rest)?.[1];
    if (upload !== undefined) return this.#upload(call, repository, upload);
    const blob = this.#content.blob(repository, rest);
    return this.#blob(rest, blob, headers.get("range"), true);
  }

  #actions({ method, query }: Call, repository: string): string[] {
    const from = query.get("from");
    return [
      `${repository}:pull`,
      ...(method === "GET" || method === "HEAD" ? [] : [`${repository}:push`]),
      ...(from === null ? [] : [`${from}:pull`]),
    ];
  }

  #manifest(repository: string, reference: string, headers: Headers): BlobAnswer {
    const found = this.#content.manifest(repository, reference);
    if (found === undefined) return errorAnswer(404, "MANIFEST_UNKNOWN", `no manifest ${reference}`);
    const { bytes, mediaType, digest } = found;
    const accept = headers.get("accept") ?? "*/*";
    if (!accept.includes("*/*") && !accept.includes(mediaType))
      return errorAnswer(404, "MANIFEST_UNKNOWN", `the client does not accept ${mediaType}`);
    return {
      status: 200,
      headers: { "Content-Type": mediaType, "Docker-Content-Digest": digest, ETag: `"${digest}"` },
      body: bytes,
    };
  }

  async #putManifest({ body, headers }: Call, repository: string, reference: string): Promise<BlobAnswer> {
    const bytes = await collect(body);
    if (bytes.length > MAX_MANIFEST) return errorAnswer(413, "SIZE_INVALID", "the manifest is too large");
    const fields = parseManifest(bytes);
    if (fields === undefined) return errorAnswer(400, "MANIFEST_INVALID", "the manifest is no JSON");
    const { config, layers = [], manifests = [], subject } = fields;
    const blobs = config === undefined ? layers : [config, ...layers];
    const missing =
      blobs.find(({ digest }) => this.#content.blob(repository, digest) === undefined) ??
      manifests.find(({ digest }) => this.#content.manifest(repository, digest) === undefined);
    if (missing !== undefined)
      return errorAnswer(400, "MANIFEST_BLOB_UNKNOWN", `${missing.digest} was not uploaded`);
    const digest = digestOf(bytes);
    const isDigest = reference.includes(":");
    if (isDigest && reference !== digest)
      return errorAnswer(400, "DIGEST_INVALID", `the manifest is ${digest}`);
    const mediaType = headers.get("content-type") ?? "";
    if (fields.mediaType !== undefined && fields.mediaType !== mediaType)
      return errorAnswer(400, "MANIFEST_INVALID", `Content-Type is ${mediaType}`);
    this.#content.addManifest(repository, bytes, mediaType, isDigest ? undefined : reference);
    return {
      status: 201,
      headers: {
        Location: `/v2/${repository}/manifests/${digest}`,
        "Docker-Content-Digest": digest,
        ...(subject !== undefined && this.#abilities.listsReferrers && { "OCI-Subject": subject.digest }),
      },
    };
  }

  #blob(
    digest: string,
    bytes: Uint8Array | undefined,
    range: string | null,
    mayRedirect: boolean,
  ): BlobAnswer {
    if (bytes === undefined) return errorAnswer(404, "BLOB_UNKNOWN", `no blob ${digest}`);
    const { storage, ranges } = this.#abilities;
    if (mayRedirect && storage !== undefined)
      return { status: 307, headers: { Location: `${storage}/${digest}` } };
    const headers: Record<string, string> = {
      "Content-Type": "application/octet-stream",
      "Docker-Content-Digest": digest,
      ETag: `"${digest}"`,
      ...(ranges !== "none" && { "Accept-Ranges": "bytes" }),
    };
    const whole = (): BlobAnswer => ({
      status: 200,
      headers,
      body: bytes,
      blob: { digest, parts: [{ at: 0, from: 0, length: bytes.length }] },
    });
    const wanted = ranges === "none" ? undefined : parseRange(range, bytes.length);
    if (wanted === undefined || (wanted.length > 1 && ranges === "single")) return whole();
    if (wanted.length === 0) {
      return {
        ...errorAnswer(416, "RANGE_INVALID", `not in the blob: ${range}`),
        headers: { ...headers, "Content-Range": `bytes */${bytes.length}` },
      };
    }
    const contentRange = (from: number, to: number) => `bytes ${from}-${to - 1}/${bytes.length}`;
    const [only] = wanted;
    if (wanted.length === 1 && only !== undefined) {
      const [from, to] = only;
      return {
        status: 206,
        headers: { ...headers, "Content-Range": contentRange(from, to) },
        body: bytes.subarray(from, to),
        blob: { digest, parts: [{ at: 0, from, length: to - from }] },
      };
    }
    const boundary = "part-of-a-blob";
    const pieces: Uint8Array[] = [];
    const parts: { at: number; from: number; length: number }[] = [];
    let at = 0;
    const push = (piece: Uint8Array) => {
      pieces.push(piece);
      at += piece.length;
    };
    for (const [from, to] of wanted) {
      push(
        Buffer.from(
          `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: ${contentRange(from, to)}\r\n\r\n`,
        ),
      );
      parts.push({ at, from, length: to - from });
      push(bytes.subarray(from, to));
    }
    push(Buffer.from(`\r\n--${boundary}--\r\n`));
    return {
      status: 206,
      headers: { ...headers, "Content-Type": `multipart/byteranges; boundary=${boundary}` },
      body: Buffer.concat(pieces),
      blob: { digest, parts },
    };
  }

  #tags(name: string, query: URLSearchParams): BlobAnswer {
    const tags = this.#content.tags(name);
    if (tags === undefined) return errorAnswer(404, "NAME_UNKNOWN", `no repository ${name}`);
    const last = query.get("last") ?? "";
    const rest = tags.filter((tag) => tag > last);
    const page = rest.slice(0, Number(query.get("n") ?? rest.length));
    const more = page.length < rest.length && page.length > 0;
    const link = `</v2/${name}/tags/list?n=${page.length}&last=${page.at(-1)}>; rel="next"`;
    return json(200, { name, tags: page }, more ? { Link: link } : {});
  }

  #referrers(repository: string, subject: string, query: URLSearchParams): BlobAnswer {
    if (!this.#abilities.listsReferrers) return errorAnswer(404, "UNSUPPORTED", "no such end point");
    const type = query.get("artifactType");
    const mediaType = "application/vnd.oci.image.index.v1+json";
    const manifests = this.#content
      .referrers(repository, subject)
      .filter(({ artifactType }) => type === null || artifactType === type);
    return json(
      200,
      { schemaVersion: 2, mediaType, manifests },
      { "Content-Type": mediaType, ...(type !== null && { "OCI-Filters-Applied": "artifactType" }) },
    );
  }

  async #upload(call: Call, repository: string, id: string): Promise<BlobAnswer> {
    const { method, query, headers, body } = call;
    if (method === "POST" && id === "") return this.#startUpload(call, repository);
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.repository !== repository)
      return errorAnswer(404, "BLOB_UPLOAD_UNKNOWN", `no upload ${id}`);
    const progress = {
      Location: `/v2/${repository}/blobs/uploads/${id}?state=${upload.size}`,
      "Docker-Upload-UUID": id,
    };
    if (method === "GET") return { status: 204, headers: { ...progress, Range: heldRange(upload.size) } };
    if (method === "DELETE") {
      this.#uploads.delete(id);
      return { status: 204 };
    }
    const claimed = /^(?:bytes )?(\d+)-/.exec(headers.get("content-range") ?? "")?.[1];
    if (claimed !== undefined && Number(claimed) !== upload.size) {
      return { status: 416, headers: { ...progress, Range: heldRange(upload.size) } };
    }
    for await (const piece of body) {
      upload.pieces.push(piece);
      upload.size += piece.length;
    }
    if (method === "PUT") {
      this.#uploads.delete(id);
      return this.#finishUpload(repository, upload, query.get("digest"));
    }
    return {
      status: 202,
      headers: {
        ...progress,
        Location: `/v2/${repository}/blobs/uploads/${id}?state=${upload.size}`,
        Range: heldRange(upload.size),
      },
    };
  }

  async #startUpload({ query, body }: Call, repository: string): Promise<BlobAnswer> {
    const mount = query.get("mount");
    const from = query.get("from");
    if (
      this.#abilities.mounts &&
      mount !== null &&
      from !== null &&
      this.#content.mountBlob(repository, mount, from)
    )
      return created(repository, mount);
    const upload: Upload = { repository, pieces: [], size: 0 };
    const digest = query.get("digest");
    if (digest !== null) {
      upload.pieces.push(await collect(body));
      return this.#finishUpload(repository, upload, digest);
    }
    const id = crypto.randomUUID();
    this.#uploads.set(id, upload);
    return {
      status: 202,
      headers: {
        Location: `/v2/${repository}/blobs/uploads/${id}?state=0`,
        "Docker-Upload-UUID": id,
        Range: heldRange(0),
      },
    };
  }

  #finishUpload(repository: string, { pieces }: Upload, digest: string | null): BlobAnswer {
    const bytes = Buffer.concat(pieces);
    const found = digestOf(bytes);
    if (found !== digest) return errorAnswer(400, "DIGEST_INVALID", `what came is ${found}`);
    this.#content.addBlob(repository, bytes);
    return created(repository, digest);
  }
}

function created(repository: string, digest: string): BlobAnswer {
  return {
    status: 201,
    headers: { Location: `/v2/${repository}/blobs/${digest}`, "Docker-Content-Digest": digest },
  };
}

/** As the Range header of uploads is written: the last byte is included, and nothing looks like one byte. */
function heldRange(size: number): string {
  return `0-${Math.max(0, size - 1)}`;
}

async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

/**
 * The ranges [from, to) that a header asks for, those outside of the content left out; undefined when it asks for none
 * (RFC 9110, section 14.2).
 */
function parseRange(header: string | null, size: number): [from: number, to: number][] | undefined {
  const list = /^bytes=(.+)$/.exec(header ?? "")?.[1];
  if (list === undefined) return undefined;
  return list.split(",").flatMap((text): [number, number][] => {
    const [, first = "", last = ""] = /^\s*(\d*)-(\d*)\s*$/.exec(text) ?? [];
    const from = first === "" ? Math.max(0, size - Number(last)) : Number(first);
    const to = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
    return from < to ? [[from, to]] : [];
  });
}
