import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { describeError } from "../../../src/errors.ts";
import { parsePlatform } from "../../../src/oci/platform.ts";
import { DockerDaemonSource } from "../../../src/oci/transport/docker-daemon.ts";
import { daemonAddress } from "../../../src/oci/transport/docker-host.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../../src/sys/file.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";
import { SAVED, SAVED_MANIFEST } from "./support.ts";

type Reply = (request: Request) => Response;

/** A daemon on a socket that answers as told. @returns the manifest's digest, or what is said against it */
async function ask(dir: TempDir, image: string, reply: Reply): Promise<string> {
  const socket = dir.join("docker.sock");
  using daemon = Bun.serve({ unix: socket, fetch: reply });
  const found = await fetchFrom(dir, `unix://${socket}`, image);
  await daemon.stop(true);
  return found;
}

async function fetchFrom(dir: TempDir, host: string, image: string): Promise<string> {
  using temporary = open(dir.path, O_RDONLY | O_DIRECTORY);
  const selection = { platform: parsePlatform("linux/amd64"), anyPlatform: false };
  const context = {
    selection,
    temporaryDirectory: temporary.fd,
    registries: undefined,
    onRetry: undefined,
  };
  using source = new DockerDaemonSource(image, daemonAddress({ DOCKER_HOST: host }), context);
  try {
    return (await source.manifest()).digest;
  } catch (error) {
    return describeError(error);
  }
}

test("an image is fetched and read as docker archive", async () => {
  using dir = tempDir();
  const asked: string[] = [];
  const digest = await ask(dir, "h.test:5000/a/b:v1", (request) => {
    asked.push(`${request.method} ${new URL(request.url).pathname}`);
    return new Response(readFileSync(SAVED));
  });
  expect(digest).toBe(SAVED_MANIFEST);
  expect(asked).toEqual(["GET /images/h.test:5000/a/b:v1/get"]);
});

test("over TCP", async () => {
  using dir = tempDir();
  using daemon = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(readFileSync(SAVED)),
  });
  expect(await fetchFrom(dir, `tcp://127.0.0.1:${daemon.port}`, "x:1")).toBe(SAVED_MANIFEST);
});

describe("failures:", () => {
  test("no daemon", async () => {
    using dir = tempDir();
    expect(await fetchFrom(dir, `unix://${dir.join("none")}`, "x:1")).toContain(
      `can't reach the docker daemon at ${dir.join("none")}`,
    );
  });

  const saved = readFileSync(SAVED);
  test.each<[string, Reply, string]>([
    ["no such image", () => Response.json({ message: "No such image: x:1" }, { status: 404 }), "the docker daemon has no image x:1: No such image: x:1"],
    ["a failure", () => new Response("oops", { status: 500 }), "the docker daemon answered with status 500"],
    ["a long failure", () => new Response("x".repeat(1e6), { status: 500 }), "answered with status 500"],
    ["a redirect", () => new Response("", { status: 302, headers: { location: "http://192.0.2.1/" } }), "docker daemon"],
    ["no archive", () => new Response("x".repeat(2000)), "header error"],
    ["an archive that is cut", () => new Response(saved.subarray(0, 3000)), "unexpected EOF"],
    ["nothing", () => new Response(""), "not found in archive: manifest.json"],
  ])("%s", async (_, reply, message) => {
    using dir = tempDir();
    expect(await ask(dir, "x:1", reply)).toContain(message);
  }); // biome-ignore format: one line a case
});

test("a broken connection", async () => {
  using dir = tempDir();
  using daemon = Bun.listen({
    unix: dir.join("docker.sock"),
    socket: {
      data(socket) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n");
        socket.write(readFileSync(SAVED).subarray(0, 2000));
        socket.flush();
        setTimeout(() => socket.end(), 20);
      },
    },
  });
  expect(daemon.unix).toBeDefined();
  expect(await fetchFrom(dir, `unix://${dir.join("docker.sock")}`, "x:1")).toContain(
    "the docker daemon broke off after 2000 bytes",
  );
});

describe("DOCKER_HOST", () => {
  test.each([
    [undefined, { url: "http://docker", socket: "/var/run/docker.sock" }],
    ["", { url: "http://docker", socket: "/var/run/docker.sock" }],
    ["unix:///run/user/1000/docker.sock", { url: "http://docker", socket: "/run/user/1000/docker.sock" }],
    ["tcp://10.0.0.1:2375", { url: "http://10.0.0.1:2375" }],
    ["tcp://10.0.0.1:2375/", { url: "http://10.0.0.1:2375" }],
    ["https://h:2376", { url: "https://h:2376" }],
  ])("%p", (host, address) => {
    expect(daemonAddress({ DOCKER_HOST: host })).toEqual(address);
  });

  test.each(["ssh://h", "npipe:////./pipe/docker", "h:2375", "tcp://a/b", "tcp://u@h"])("%s", (host) => {
    expect(() => daemonAddress({ DOCKER_HOST: host })).toThrow("can't be used");
  });

  test("certificates", () => {
    using dir = tempDir();
    const env = { DOCKER_HOST: "tcp://h:2376", DOCKER_CERT_PATH: dir.path, DOCKER_TLS_VERIFY: "1" };
    expect(() => daemonAddress(env)).toThrow("ca.pem");
    for (const name of ["ca", "cert", "key"]) Bun.spawnSync(["cp", "/dev/null", dir.join(`${name}.pem`)]);
    expect(daemonAddress(env)).toMatchObject({ url: "https://h:2376", tls: { rejectUnauthorized: true } });
    expect(daemonAddress({ ...env, DOCKER_TLS_VERIFY: "" }).tls?.rejectUnauthorized).toBe(false);
  });
});
