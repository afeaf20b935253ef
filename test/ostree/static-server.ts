import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type HttpAnswer,
  type HttpOptions,
  type HttpRequest,
  startHttpServer,
} from "../support/http-server.ts";

/** What the test wants to happen to a request, instead of or besides being answered. */
export type Fault = (
  path: string,
  request: HttpRequest,
  answer: HttpAnswer,
) => HttpAnswer | undefined | Promise<HttpAnswer | undefined>;

export interface StaticServer extends Disposable {
  /** Without a slash at its end. */
  readonly url: string;
  /** Paths in the order in which they were asked for. */
  readonly requests: string[];
  /** Forgets the requests until now, and returns them. */
  takeRequests(): string[];
  fault: Fault | undefined;
}

export const LAST_MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT";

/** A server of files as they are, with ranges and conditional requests. */
export async function serveFiles(root: string, options: HttpOptions = {}): Promise<StaticServer> {
  const requests: string[] = [];
  const server = await startHttpServer(async (request) => {
    const path = decodeURIComponent(request.target);
    requests.push(request.target);
    const answer = answerTo(root, path, request.headers);
    return (await state.fault?.(request.target, request, answer)) ?? answer;
  }, options);
  const state: StaticServer = {
    url: `${options.tls ? "https" : "http"}://127.0.0.1:${server.port}`,
    requests,
    takeRequests: () => requests.splice(0),
    fault: undefined,
    [Symbol.dispose]: () => server[Symbol.dispose](),
  };
  return state;
}

function answerTo(root: string, path: string, headers: Headers): HttpAnswer {
  const file = join(root, path);
  if (!existsSync(file) || !statSync(file).isFile()) return { status: 404, body: Buffer.from("not here") };
  if (headers.get("if-modified-since") === LAST_MODIFIED) return { status: 304 };
  const body = readFileSync(file);
  const fields = { "Last-Modified": LAST_MODIFIED, "Content-Type": "application/octet-stream" };
  const range = /^bytes=(\d+)-$/.exec(headers.get("range") ?? "");
  if (range === null) return { status: 200, headers: fields, body };
  const start = Number(range[1]);
  if (start >= body.length) return { status: 416 };
  const content = `bytes ${start}-${body.length - 1}/${body.length}`;
  return { status: 206, headers: { ...fields, "Content-Range": content }, body: body.subarray(start) };
}
