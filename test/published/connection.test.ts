import { afterAll, beforeAll, expect, test } from "bun:test";
import { FolderTarget } from "../../src/published/publish/folder.ts";
import { publish } from "../../src/published/publish/publish.ts";
import { Repository } from "../../src/repository/repository.ts";
import { serveFiles } from "../ostree/static-server.ts";
import { Scratch } from "../repository/support.ts";
import { inProcess } from "../repository/vector-runner.ts";
import { CERTIFICATES } from "../support/certificates.ts";

const scratch = new Scratch();
const published = scratch.join("published");

beforeAll(async () => {
  using repository = Repository.open(scratch.unpack("repos/full-sha256.tar.gz"));
  await using target = new FolderTarget(published, false);
  await publish(repository, target);
});
afterAll(() => scratch[Symbol.dispose]());

async function fetchWith(url: string, ...options: string[]): Promise<string> {
  const argv = ["--repo", scratch.join("r"), "fetch", ...options, url, "refs/my/edge"];
  const { rc, stderr } = await inProcess({ argv, rc: 0 }, "/");
  return `${rc} ${stderr}`;
}

const ca = () => ["--ca-file", CERTIFICATES.ca];

test("servers with certificates of an authority of their own", async () => {
  using server = await serveFiles(published, { tls: true });
  expect(await fetchWith(server.url)).toContain("--ca-file");
  expect(await fetchWith(server.url, ...ca())).toBe("0 ");
  expect(await fetchWith(server.url, "--no-tls-verify")).toBe("0 ");
  expect(await fetchWith(server.url, "--ca-file", scratch.join("none"))).toContain("can't be read");
});

test("servers that want a certificate", async () => {
  using server = await serveFiles(published, { tls: true, clientCertificate: true });
  expect(await fetchWith(server.url, ...ca())).toStartWith("1 ");
  const client = ["--client-cert", CERTIFICATES.clientCert, "--client-key", CERTIFICATES.clientKey];
  expect(await fetchWith(server.url, ...ca(), ...client)).toBe("0 ");
  expect(await fetchWith(server.url, ...ca(), ...client.slice(0, 2))).toStartWith("2 ");
});

test("a user and password in the URL are sent, and not shown", async () => {
  using server = await serveFiles(published);
  const seen = new Set<string | null>();
  server.fault = (_, { headers }) => {
    seen.add(headers.get("authorization"));
    return undefined;
  };
  const url = server.url.replace("http://", "http://me:very%20secret@");
  expect(await fetchWith(url)).toBe("0 ");
  expect([...seen]).toEqual([`Basic ${Buffer.from("me:very secret").toString("base64")}`]);
  server.fault = () => ({ status: 403 });
  const refused = await fetchWith(url);
  expect(refused).toStartWith("1 ");
  expect(refused).not.toContain("secret");
  expect(await fetchWith("ftp://me:secret@host/")).not.toContain("secret");
});
