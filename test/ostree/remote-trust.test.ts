import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeError } from "../../src/errors.ts";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { Variant, writeGVariant } from "../../src/ostree/gvariant.ts";
import { encodeCommit, parseCommit } from "../../src/ostree/objects.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { parseHttpHeaders } from "../../src/ostree/remote/http-headers.ts";
import { findRemote, openRemote, type TrustOptions } from "../../src/ostree/remote/open-remote.ts";
import type { RemoteSettings } from "../../src/ostree/remote/remote-settings.ts";
import { CERTIFICATES } from "../support/certificates.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { ArchiveMaker } from "./archive-maker.ts";
import { QUICK } from "./remote-support.ts";
import { type StaticServer, serveFiles } from "./static-server.ts";
import { linksOf, newRepository } from "./support.ts";

const GPG = "ostree.gpgsigs";
const ED25519 = "ostree.sign.ed25519";

let directory: TempDir;
let made: ArchiveMaker;
let server: StaticServer;
let commit: Checksum;
const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const other = generateKeyPairSync("ed25519");

const base64 = (key: KeyObject) =>
  key.export({ type: "spki", format: "der" }).subarray(-32).toString("base64");
const commitBytes = () => readFileSync(join(made.path, made.object(commit, "commit")));

beforeAll(async () => {
  directory = tempDir();
  made = new ArchiveMaker(directory.join("archive"));
  commit = made.commit("main", { hello: Buffer.from("hello") });
  server = await serveFiles(made.path);
});
afterAll(() => {
  server[Symbol.dispose]();
  directory[Symbol.dispose]();
});

/** Writes the signatures of a commit, or of another file. */
function writeSignatures(path: string, signatures: Readonly<Record<string, readonly Uint8Array[]>>): void {
  const entries = Object.entries(signatures).map(([key, list]) => [key, new Variant("aay", list as never)]);
  made.write(path, writeGVariant("a{sv}", entries as never));
}

function root(files: Readonly<Record<string, string | Uint8Array>>): { root: string } {
  const path = directory.join(`root-${Math.random()}`);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return { root: path };
}

/** What becomes of pulling a ref: "pulled", or why it is not. */
async function attempt(settings: RemoteSettings, ref = "main"): Promise<string> {
  using place = tempDir();
  using repository = newRepository(place.join("repo"), "sha256");
  try {
    const { source } = await openRemote(settings, QUICK);
    await using _ = source;
    const found = await source.resolveRef(ref);
    await pullCommit(repository, source, found, { ref, jobs: 1 });
  } catch (error) {
    expect(linksOf(repository.path)).toEqual({});
    return describeError(error);
  }
  expect(linksOf(repository.path)[`streams/refs/ostree/${ref}`]).toBeDefined();
  return "pulled";
}

const byUrl = (trust: TrustOptions) => findRemote(server.url, { root: "" }, trust);

describe("ed25519", () => {
  const signatureBy = (key: KeyObject, data: Uint8Array) => new Uint8Array(sign(null, data, key));

  test("a commit that is signed is pulled; all others are refused", async () => {
    const trust = { ed25519Keys: [base64(publicKey)] };
    expect(await attempt(byUrl(trust))).toContain("has no ed25519 signature");
    writeSignatures(made.object(commit, "commitmeta"), {
      [ED25519]: [signatureBy(privateKey, commitBytes())],
    });
    expect(await attempt(byUrl(trust))).toBe("pulled");
    expect(await attempt(byUrl({ ed25519Keys: [base64(other.publicKey)] }))).toContain("by a trusted key");
    expect(await attempt(byUrl({ ed25519Keys: [base64(other.publicKey), base64(publicKey)] }))).toBe(
      "pulled",
    );
    writeSignatures(made.object(commit, "commitmeta"), {
      [ED25519]: [signatureBy(privateKey, Buffer.from("something else")), new Uint8Array(3)],
    });
    expect(await attempt(byUrl(trust))).toContain("by a trusted key");
    expect(await attempt(byUrl({}))).toBe("pulled");
  });

  test("keys in files, trusted and revoked", async () => {
    writeSignatures(made.object(commit, "commitmeta"), {
      [ED25519]: [signatureBy(privateKey, commitBytes())],
    });
    const file = directory.join("keys");
    writeFileSync(file, `${base64(other.publicKey)}\n${base64(publicKey)}\n`);
    expect(await attempt(byUrl({ ed25519Keys: [file] }))).toBe("pulled");
    const conf = `[remote "r"]\nurl=${server.url}\ngpg-verify=false\nsign-verify=ed25519\n`;
    const trusted = { "etc/ostree/remotes.d/r.conf": conf, "etc/ostree/trusted.ed25519": base64(publicKey) };
    expect(await attempt(findRemote("r", root(trusted), {}))).toBe("pulled");
    const revoked = { ...trusted, "etc/ostree/revoked.ed25519.d/x": base64(publicKey) };
    expect(await attempt(findRemote("r", root(revoked), {}))).toContain("by a trusted key");
    writeFileSync(file, "no key\n");
    expect(() => byUrl({ ed25519Keys: [file] })).toThrow("line 1 is no ed25519 public key");
  });

  test("a summary that has to be signed", async () => {
    const conf =
      `[remote "r"]\nurl=${server.url}\ngpg-verify=false\nsign-verify-summary=true\n` +
      `verification-ed25519-key=${base64(publicKey)}\n`;
    const settings = () => findRemote("r", root({ "etc/ostree/remotes.d/r.conf": conf }), {});
    expect(await attempt(settings())).toContain("there is no summary");
    const summary = made.summary({ main: commit });
    expect(await attempt(settings())).toContain("summary has no ed25519 signature");
    writeSignatures("summary.sig", { [ED25519]: [signatureBy(privateKey, summary)] });
    expect(await attempt(settings())).toBe("pulled");
    expect(await attempt(settings(), "unlisted")).toContain("does not list the ref");
    made.summary({ main: commit, more: commit });
    expect(await attempt(settings())).toContain("by a trusted key");
  });

  test("a commit that was signed for another ref", async () => {
    const parsed = parseCommit(commitBytes());
    const bytes = encodeCommit({
      ...parsed,
      metadata: [["ostree.ref-binding", new Variant("as", ["stable"])]],
    });
    const bound = new Bun.CryptoHasher("sha256").update(bytes).digest("hex") as Checksum;
    made.write(made.object(bound, "commit"), bytes);
    writeSignatures(made.object(bound, "commitmeta"), { [ED25519]: [signatureBy(privateKey, bytes)] });
    const summary = made.summary({ stable: bound, main: bound });
    writeSignatures("summary.sig", { [ED25519]: [signatureBy(privateKey, summary)] });
    const trust = { ed25519Keys: [base64(publicKey)] };
    expect(await attempt(byUrl(trust), "stable")).toBe("pulled");
    expect(await attempt(byUrl(trust), "main")).toContain("was not made for the ref 'main'");
  });
});

describe("OpenPGP", () => {
  testNeeding({ tool: "gpg" })(
    "keyrings of the command line, of the remote and of the machine",
    async () => {
      const home = directory.join("gnupg");
      mkdirSync(home, { mode: 0o700 });
      const gpg = (...args: string[]) => {
        const command = [
          "gpg",
          "--homedir",
          home,
          "--batch",
          "--pinentry-mode",
          "loopback",
          "--passphrase",
          "",
          ...args,
        ];
        const { stdout, stderr, success } = Bun.spawnSync(command, { stdin: commitBytes() });
        if (!success) throw new Error(stderr.toString());
        return new Uint8Array(stdout);
      };
      made.summary({ main: commit });
      for (const id of ["signer@example.com", "stranger@example.com"])
        gpg("--quick-generate-key", id, "ed25519", "sign,cert", "1d");
      const keyring = gpg("--export", "signer@example.com");
      const strange = gpg("--export", "stranger@example.com");
      const signature = gpg("-u", "signer@example.com", "--detach-sign");
      Bun.spawnSync(["gpgconf", "--homedir", home, "--kill", "gpg-agent"]);
      const file = directory.join("keyring.gpg");
      writeFileSync(file, keyring);
      const trust = { gpgKeyrings: [file] };

      writeSignatures(made.object(commit, "commitmeta"), { [ED25519]: [] });
      expect(await attempt(byUrl(trust))).toContain("has no OpenPGP signature");
      writeSignatures(made.object(commit, "commitmeta"), { [GPG]: [signature] });
      expect(await attempt(byUrl(trust))).toBe("pulled");
      writeFileSync(directory.join("strange.gpg"), strange);
      const wrong = { gpgKeyrings: [directory.join("strange.gpg")] };
      expect(await attempt(byUrl(wrong))).toContain("not in the keyring");

      const conf = { "etc/ostree/remotes.d/r.conf": `[remote "r"]\nurl=${server.url}\n` };
      const remote = (files: Readonly<Record<string, string | Uint8Array>>, options: TrustOptions = {}) =>
        attempt(findRemote("r", root({ ...conf, ...files }), options));
      expect(await remote({})).toContain("there is no keyring for the remote 'r'");
      expect(await remote({}, { noGpgVerify: true })).toBe("pulled");
      expect(await remote({}, trust)).toBe("pulled");
      expect(await remote({ "etc/ostree/remotes.d/r.trustedkeys.gpg": keyring })).toBe("pulled");
      expect(await remote({ "usr/share/ostree/trusted.gpg.d/x.gpg": keyring })).toBe("pulled");
      // a remote's own keys go before those for all
      expect(
        await remote({
          "etc/ostree/remotes.d/r.trustedkeys.gpg": strange,
          "usr/share/ostree/trusted.gpg.d/x.gpg": keyring,
        }),
      ).toContain("not in the keyring");
    },
    30_000,
  );
});

describe("configuration", () => {
  const conf = (text: string) => root({ "etc/ostree/remotes.d/a.conf": text });

  test("all keys", () => {
    const { verification, ...rest } = findRemote(
      "r",
      conf(
        `[remote "other"]\nurl=https://other\n[remote "r"]\nurl=https://h/repo\ncontenturl=mirrorlist=https://m/list\n` +
          "proxy=http://p:3128\ntls-permissive=true\ntls-ca-path=/ca\ntls-client-cert-path=/c\ntls-client-key-path=/k\n" +
          "gpg-verify=false\ngpg-verify-summary=true\nsign-verify=ed25519;dummy\n",
      ),
      {},
    );
    expect(rest).toEqual({
      url: "https://h/repo",
      contentUrl: "mirrorlist=https://m/list",
      proxy: "http://p:3128",
      tls: { permissive: true, caPath: "/ca", clientCertificate: { certPath: "/c", keyPath: "/k" } },
    });
    expect(verification.commits).toEqual({ gpg: false, ed25519: true });
    expect(verification.summary).toEqual({ gpg: true, ed25519: false });
  });

  test("commits of configured remotes are verified unless it says otherwise", () => {
    const { verification } = findRemote("r", conf(`[remote "r"]\nurl=https://h\n`), {});
    expect(verification.commits).toEqual({ gpg: true, ed25519: false });
  });

  test("another file, and the repository of the machine", () => {
    const places = root({
      "ostree/repo/config": `[remote "s"]\nurl=https://s\n`,
      more: `[remote "m"]\nurl=https://m\n`,
    });
    expect(findRemote("s", places, {}).url).toBe("https://s");
    expect(findRemote("m", { ...places, file: join(places.root, "more") }, {}).url).toBe("https://m");
  });

  test.each([
    ["no url", `[remote "r"]\n`, "it has no url"],
    ["a metalink", `[remote "r"]\nmetalink=https://x\n`, "metalinks are not supported"],
    [
      "half a client certificate",
      `[remote "r"]\nurl=https://h\ntls-client-cert-path=/c\n`,
      "need each other",
    ],
    ["neither true nor false", `[remote "r"]\nurl=https://h\ngpg-verify=maybe\n`, "has to be true or false"],
    [
      "unknown signatures",
      `[remote "r"]\nurl=https://h\nsign-verify=spki;dummy\n`,
      "only ed25519 is supported",
    ],
    ["no such remote", `[remote "x"]\nurl=https://h\n`, "there is no remote 'r'"],
  ])("%s", (_, text, message) => {
    let error: unknown;
    try {
      findRemote("r", conf(text), {});
    } catch (caught) {
      error = caught;
    }
    expect(describeError(error)).toContain(message);
  });

  test.each(["ftp://host/repo", "https://", "http://[", "mirrorlist=ftp://x/y"])(
    "%s is refused",
    async (url) => {
      await expect(openRemote(findRemote(url, { root: "" }, {}), QUICK)).rejects.toThrow();
    },
  );

  test("paths and file URLs are of repositories on this machine", async () => {
    for (const url of [made.path, `file://${made.path}`])
      expect(await attempt(findRemote(url, { root: "" }, {}))).toBe("pulled");
  });

  test("objects come from contenturl, all else from url", async () => {
    using second = await serveFiles(made.path);
    using first = await serveFiles(made.path);
    const settings = { ...findRemote(first.url, { root: "" }, {}), contentUrl: second.url };
    expect(await attempt(settings)).toBe("pulled");
    // Signatures are no objects.
    const isObject = (path: string) => path.startsWith("/objects/") && !path.endsWith(".commitmeta");
    expect(first.requests.some(isObject)).toBe(false);
    expect(second.requests.every((path) => path.startsWith("/objects/"))).toBe(true);
  });
});

describe("https", () => {
  const settings = (url: string, tls: Partial<RemoteSettings["tls"]>): RemoteSettings => ({
    ...findRemote(url, { root: "" }, {}),
    tls: { permissive: false, ...tls },
  });

  test("the authority is that of the machine, or the one that is named, or does not matter", async () => {
    using secure = await serveFiles(made.path, { tls: true });
    expect(await attempt(settings(secure.url, {}))).toContain("the certificate's authority is not trusted");
    expect(await attempt(settings(secure.url, { caPath: CERTIFICATES.ca }))).toBe("pulled");
    expect(await attempt(settings(secure.url, { permissive: true }))).toBe("pulled");
    expect(await attempt(settings(secure.url, { caPath: `${CERTIFICATES.ca}.missing` }))).toContain(
      "can't be read",
    );
  });

  test("a server that wants a certificate of the client", async () => {
    using secure = await serveFiles(made.path, { tls: true, clientCertificate: true });
    const clientCertificate = { certPath: CERTIFICATES.clientCert, keyPath: CERTIFICATES.clientKey };
    expect(await attempt(settings(secure.url, { caPath: CERTIFICATES.ca, clientCertificate }))).toBe(
      "pulled",
    );
    expect(await attempt(settings(secure.url, { caPath: CERTIFICATES.ca }))).not.toBe("pulled");
  });
});

test("user and password of a URL go to its server only", async () => {
  using elsewhere = await serveFiles(made.path);
  using first = await serveFiles(made.path);
  const seen: (string | null)[] = [];
  const strangers: (string | null)[] = [];
  elsewhere.fault = (_path, { headers }) => void strangers.push(headers.get("authorization"));
  first.fault = (path, { headers }) => {
    seen.push(headers.get("authorization"));
    if (!path.startsWith("/objects/")) return undefined;
    return { status: 302, headers: { Location: `${elsewhere.url}${path}` } };
  };
  const url = first.url.replace("//", "//user:p%40ss@");
  expect(await attempt(findRemote(url, { root: "" }, {}))).toBe("pulled");
  expect(new Set(seen)).toEqual(new Set([`Basic ${Buffer.from("user:p@ss").toString("base64")}`]));
  expect(new Set(strangers)).toEqual(new Set([null]));
});

describe("header fields", () => {
  test("go to the server of the repository only, with every request", async () => {
    using elsewhere = await serveFiles(made.path);
    using first = await serveFiles(made.path);
    const seen: (string | null)[] = [];
    const strangers: (string | null)[] = [];
    elsewhere.fault = (_path, { headers }) => void strangers.push(headers.get("x-token"));
    first.fault = (path, { headers }) => {
      seen.push(headers.get("x-token"));
      if (!path.startsWith("/objects/")) return undefined;
      return { status: 302, headers: { Location: `${elsewhere.url}${path}` } };
    };
    const headers = parseHttpHeaders(["X-TOKEN=a=b"]);
    expect(await attempt({ ...findRemote(first.url, { root: "" }, {}), headers })).toBe("pulled");
    expect(new Set(seen)).toEqual(new Set(["a=b"]));
    expect(new Set(strangers)).toEqual(new Set([null]));
  });

  test.each([
    ["no value", "no name"],
    ["=x", "no name"],
    ["a b=x", "no name"],
    ["x-y=a\nb", "X-Y has a character"],
    ["accept-encoding=gzip", "Accept-Encoding can't be set"],
  ])("%j is none", (text, message) => {
    expect(() => parseHttpHeaders([text])).toThrow(message);
  });
});
