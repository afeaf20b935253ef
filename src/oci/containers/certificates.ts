import { createPrivateKey, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { CfsError } from "../../errors.ts";
import type { TlsFiles } from "../../http/settings.ts";
import {
  listConfigurationDirectory,
  type Places,
  readConfigurationText,
  systemPath,
  userPath,
} from "./places.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The certificates of containers-certs.d(5) for a registry: those of the first directory that there is.
 * @param host `HOST[:PORT]`
 * @param directory to use instead of the usual ones; it must exist.
 * @throws CfsError Invalid naming the file, NotFound
 */
export function certificatesFor(host: string, places: Places, directory?: string): TlsFiles {
  if (directory !== undefined) {
    const names = listConfigurationDirectory(directory);
    if (names === undefined) throw new CfsError("NotFound", `the directory ${directory} does not exist`);
    return readCertificates(directory, names);
  }
  // a host is one name in the directories; anything else could lead out of them
  if (host.includes("/") || host === "." || host === "..") return { ca: [] };
  for (const candidate of usualDirectories(host, places)) {
    const names = listConfigurationDirectory(candidate);
    if (names !== undefined) return readCertificates(candidate, names);
  }
  return { ca: [] };
}

function usualDirectories(host: string, places: Places): string[] {
  return [
    userPath(places, join("certs.d", host)),
    systemPath(places, join("certs.d", host)),
    join(places.root, "/etc/docker/certs.d", host),
  ];
}

function readCertificates(directory: string, names: readonly string[]): TlsFiles {
  const ca = names
    .filter((name) => name.endsWith(".crt"))
    .map((name) => readAuthorities(join(directory, name)));
  const pairs = [
    ...new Set(names.filter((n) => /\.(cert|key)$/.test(n)).map((n) => n.replace(/\.[a-z]+$/, ""))),
  ];
  for (const stem of pairs) {
    for (const ending of ["cert", "key"])
      if (!names.includes(`${stem}.${ending}`)) throw unpaired(directory, stem, ending);
  }
  // a connection has one client certificate: the first pair by name
  const stem = pairs[0];
  return {
    ca,
    ...(stem !== undefined && readPair(join(directory, `${stem}.cert`), join(directory, `${stem}.key`))),
  };
}

function unpaired(directory: string, stem: string, missing: string): CfsError {
  const present = missing === "key" ? "cert" : "key";
  return new CfsError("Invalid", `${directory} has ${stem}.${present} but not ${stem}.${missing}`, {
    hint: "a client certificate is a pair NAME.cert and NAME.key; certificate authorities are named *.crt",
  });
}

function readAuthorities(file: string): string {
  const text = readText(file);
  checkedCertificates(text, file);
  return text;
}

function readPair(certFile: string, keyFile: string): { cert: string; key: string } {
  const cert = readText(certFile);
  const key = readText(keyFile);
  const [leaf] = checkedCertificates(cert, certFile);
  let privateKey: ReturnType<typeof createPrivateKey>;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    // what OpenSSL says would not help, and could quote the key
    throw new CfsError("Invalid", `${keyFile} is not a private key in PEM form without a passphrase`);
  }
  if (!leaf!.checkPrivateKey(privateKey))
    throw new CfsError("Invalid", `${keyFile} is not the key of the certificate in ${certFile}`);
  return { cert, key };
}

function readText(file: string): string {
  const text = readConfigurationText(file);
  if (text === undefined) throw new CfsError("NotFound", `${file} does not exist`);
  return text;
}

/** The certificates of a PEM file; at least one. */
function checkedCertificates(text: string, file: string): X509Certificate[] {
  const blocks = text.match(CERTIFICATE);
  if (blocks === null)
    throw new CfsError("Invalid", `${file} has no certificate in PEM form`, {
      hint: "convert it with: openssl x509 -inform der -in FILE -out FILE.pem",
    });
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    throw new CfsError("Invalid", `${file} has a certificate that can't be decoded`);
  }
}
