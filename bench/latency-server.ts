import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Serves the files of a directory over HTTP/1.1, each reply so much later, in a process of its own:
 * `bun bench/latency-server.ts DIRECTORY MILLISECONDS`. Prints its port. `GET /-counts` says what was asked for since
 * the last time; it is on plain sockets because it counts connections.
 */
export interface ServerCounts {
  readonly requests: number;
  readonly connections: number;
  /** Most that were open at the same time. */
  readonly peakConnections: number;
}

const END = "\r\n\r\n";

function serve(directory: string, delay: number): void {
  let counts = { requests: 0, connections: 0, peakConnections: 0 };
  let open = 0;
  const answer = (path: string): { head: string; body: Uint8Array } => {
    if (path === "/-counts") {
      const body = Buffer.from(JSON.stringify(counts));
      counts = { requests: 0, connections: 0, peakConnections: 0 };
      return { head: `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}${END}`, body };
    }
    counts.requests++;
    const file = join(directory, path);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile())
      return { head: `HTTP/1.1 404 Not Found\r\nContent-Length: 0${END}`, body: new Uint8Array(0) };
    const body = readFileSync(file);
    return { head: `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}${END}`, body };
  };
  interface Client {
    received: string;
    /** What the system has not taken yet. */
    unsent: Uint8Array;
  }
  const send = (socket: Bun.Socket<Client>, bytes: Uint8Array) => {
    const { data } = socket;
    if (data.unsent.length > 0) data.unsent = Buffer.concat([data.unsent, bytes]);
    else data.unsent = bytes.subarray(Math.max(0, socket.write(bytes)));
  };
  const server = Bun.listen<Client>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { received: "", unsent: new Uint8Array(0) };
        counts.connections++;
        counts.peakConnections = Math.max(counts.peakConnections, ++open);
      },
      close() {
        open--;
      },
      data(socket, bytes) {
        const { data } = socket;
        data.received += bytes.latin1Slice();
        for (let end = data.received.indexOf(END); end >= 0; end = data.received.indexOf(END)) {
          const path = decodeURIComponent(data.received.split(" ", 2)[1] ?? "");
          data.received = data.received.slice(end + END.length);
          const reply = () => {
            const { head, body } = answer(path);
            send(socket, Buffer.concat([Buffer.from(head), body]));
          };
          if (delay > 0) setTimeout(reply, delay);
          else reply();
        }
      },
      drain(socket) {
        const { data } = socket;
        data.unsent = data.unsent.subarray(Math.max(0, socket.write(data.unsent)));
      },
    },
  });
  console.log(server.port);
}

export interface LatencyServer extends Disposable {
  readonly url: string;
  /** Since the last call. */
  counts(): Promise<ServerCounts>;
}

/** @param delay of each reply, in milliseconds. */
export async function startLatencyServer(directory: string, delay: number): Promise<LatencyServer> {
  const child = Bun.spawn([process.execPath, import.meta.path, directory, String(delay)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const first = await child.stdout.getReader().read();
  const url = `http://127.0.0.1:${Buffer.from(first.value ?? [])
    .toString()
    .trim()}`;
  return {
    url,
    counts: async () => (await (await fetch(`${url}/-counts`)).json()) as ServerCounts,
    [Symbol.dispose]: () => child.kill(),
  };
}

if (import.meta.main) serve(process.argv[2]!, Number(process.argv[3] ?? 0));
