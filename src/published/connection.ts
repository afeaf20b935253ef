import { readPem } from "../http/pem-file.ts";
import { claimProxyVariables, proxyFor } from "../http/proxy.ts";
import type { Advice, ConnectionSettings } from "../http/settings.ts";

/** What the user says about connections. */
export interface ConnectionOptions {
  /** File with certificates in PEM form that are trusted besides the machine's. */
  readonly caFile?: string | undefined;
  /** Files in PEM form with which this machine shows who it is. */
  readonly client?: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Any certificate will do. */
  readonly insecure?: boolean;
}

const ADVICE: Advice = {
  certificate: "have the machine trust the authority's certificate, or name it with --ca-file",
  handshake: "the server may speak plain http, or want a client certificate: see --client-cert",
  closed: "check the network; the server may speak plain http",
  unknownHost: "check the URL and the network",
};

/** @throws CfsError Io, Invalid for files that can't be read */
export function connectionSettings({ caFile, client }: ConnectionOptions): ConnectionSettings {
  const variables = { ...process.env, ...claimProxyVariables() };
  const files = {
    ca: caFile === undefined ? [] : [readPem(caFile)],
    ...(client && { cert: readPem(client.certFile), key: readPem(client.keyFile) }),
  };
  return { tls: () => files, proxy: (url) => proxyFor(url, variables), advice: ADVICE };
}
