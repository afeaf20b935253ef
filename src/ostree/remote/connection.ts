import { readFileSync } from "node:fs";
import { CfsError } from "../../errors.ts";
import { claimProxyVariables, proxyFor } from "../../oci/containers/proxy.ts";
import type { RegistryConfiguration, TlsFiles } from "../../oci/registry/types.ts";
import type { RemoteSettings } from "./remote-settings.ts";

/** How connections to a remote are made. @throws CfsError Io, Invalid when its certificates can't be read */
export function connectionSettings({ proxy, tls }: RemoteSettings): RegistryConfiguration {
  const variables = claimProxyVariables();
  const files = tlsFiles(tls);
  return {
    tls: () => files,
    proxy: (url: URL) => proxy ?? proxyFor(url, { ...process.env, ...variables }),
  } as unknown as RegistryConfiguration;
}

function tlsFiles({ caPath, clientCertificate }: RemoteSettings["tls"]): TlsFiles {
  return {
    ca: caPath === undefined ? [] : [readPem(caPath)],
    ...(clientCertificate && {
      cert: readPem(clientCertificate.certPath),
      key: readPem(clientCertificate.keyPath),
    }),
  };
}

function readPem(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    throw new CfsError("Io", `${path} can't be read`, { cause: error });
  }
  if (/-----BEGIN [A-Z ]+-----/.test(text)) return text;
  throw new CfsError("Invalid", `${path} has nothing in PEM form`);
}
