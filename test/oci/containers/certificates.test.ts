import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { certificatesFor } from "../../../src/oci/containers/certificates.ts";
import { PROJECT } from "../../support/project.ts";
import { failure, testPlaces } from "./support.ts";

const pem = (name: string) => readFileSync(join(PROJECT, "fixtures/containers/certs", name), "utf8");
const CA = pem("ca.crt");
const CERT = pem("client.cert");
const KEY = pem("client.key");
const HOST = "registry.test:5000";
const ETC = `/etc/containers/certs.d/${HOST}`;

describe("certs.d", () => {
  test("the example of containers-certs.d(5)", () => {
    using places = testPlaces({
      [`${ETC}/client.cert`]: CERT,
      [`${ETC}/client.key`]: KEY,
      [`${ETC}/ca.crt`]: CA,
      [`${ETC}/notes.txt`]: "",
    });
    expect(certificatesFor(HOST, places)).toEqual({ ca: [CA], cert: CERT, key: KEY });
    expect(certificatesFor("registry.test", places)).toEqual({ ca: [] });
    expect(certificatesFor("..", places)).toEqual({ ca: [] });
    expect(certificatesFor(`../certs.d/${HOST}`, places)).toEqual({ ca: [] });
  });

  test.each([
    ["the user's first", [`~/.config/containers/certs.d/${HOST}`, ETC, `/etc/docker/certs.d/${HOST}`]],
    ["then the system's", [ETC, `/etc/docker/certs.d/${HOST}`]],
    ["then Docker's", [`/etc/docker/certs.d/${HOST}`]],
  ])("one directory counts: %s", (_name, directories) => {
    const files = directories.map((directory, i) => [
      i === 0 ? `${directory}/ca.crt` : `${directory}/broken.crt`,
      i === 0 ? CA : "",
    ]);
    using places = testPlaces(Object.fromEntries(files));
    expect(certificatesFor(HOST, places)).toEqual({ ca: [CA] });
  });

  test("a directory of the command line replaces them", () => {
    using places = testPlaces({ [`${ETC}/broken.crt`]: "", "/mine/a.crt": CA, "/mine/b.crt": CA + CERT });
    expect(certificatesFor(HOST, places, join(places.root, "mine"))).toEqual({ ca: [CA, CA + CERT] });
    expect(failure(() => certificatesFor(HOST, places, "/nowhere"))).toBe(
      "the directory /nowhere does not exist",
    );
  });

  test.each<[name: string, files: Record<string, string>, message: string]>([
    ["a certificate without a key", { "a.cert": CERT }, "has a.cert but not a.key"],
    ["a key without a certificate", { "a.key": KEY }, "has a.key but not a.cert"],
    ["a pair under two names", { "a.cert": CERT, "b.key": KEY }, "has a.cert but not a.key"],
    [
      "another's key",
      { "a.cert": CERT, "a.key": pem("other.key") },
      "a.key is not the key of the certificate",
    ],
    ["a key with a passphrase", { "a.cert": CERT, "a.key": pem("encrypted.key") }, "without a passphrase"],
    ["an empty authority", { "a.crt": "" }, "a.crt has no certificate in PEM form"],
    ["a broken one", { "a.crt": CA.replace(/MII/, "AAA") }, "a.crt has a certificate that can't be decoded"],
    ["a large one", { "a.crt": CA + " ".repeat(1 << 20) }, "a.crt is larger than 1 MiB"],
  ])("refuses %s", (_name, files, message) => {
    using places = testPlaces(
      Object.fromEntries(Object.entries(files).map(([name, content]) => [`${ETC}/${name}`, content])),
    );
    expect(failure(() => certificatesFor(HOST, places))).toContain(message);
  });
});
