// The data plane's key, as long as this tab is open, and requests that show it.

const place = sessionStorage;
const stored = 'sluice.key';
let kind = place.getItem(`${stored}.kind`); // which of the two below the key has turned out to be
let skew = 0; // of the node's clock over the browser's, in milliseconds

export const known = () => place.getItem(stored) !== null;

export function use(key) {
  place.setItem(stored, key);
  place.removeItem(`${stored}.kind`);
  kind = null;
}

export function forget() {
  place.removeItem(stored);
  place.removeItem(`${stored}.kind`);
  kind = null;
}

export function setClock(time) {
  skew = time - Date.now();
}

// ask sends a request to this listener. An access key stays here: it signs a
// token for this one request, which is how backends use it. Only if that is not
// accepted, the key may be an API key, which is sent as it is.
export async function ask(path, init = {}) {
  const url = new URL(path, location.href).href;
  let response;
  for (const attempt of attempts()) {
    const bearer = await attempt.bearer(url);
    if (bearer === null) continue;
    response = await fetch(url, {
      ...init,
      cache: 'no-store',
      headers: { ...init.headers, ...(bearer && { Authorization: `Bearer ${bearer}` }) },
      signal: AbortSignal.timeout(10000),
    });
    if (response.status !== 401) {
      if (attempt.kind && attempt.kind !== kind) {
        kind = attempt.kind;
        place.setItem(`${stored}.kind`, kind);
      }
      break;
    }
  }
  return response;
}

// problem returns what an answer says is wrong.
export async function problem(response) {
  const text = (await response.text()).trim();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text || `${response.status} ${response.statusText}`;
  }
}

function attempts() {
  if (!known()) return [{ bearer: () => '' }];
  const key = place.getItem(stored);
  const access = { kind: 'access', bearer: (url) => sign(key, url) };
  const api = { kind: 'api', bearer: () => key };
  return kind === 'api' ? [api] : kind === 'access' ? [access] : [access, api];
}

const base64 = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const utf8 = (text) => new TextEncoder().encode(text);

// sign makes a token for one request (RFC 7519, HS256); null where browsers do
// not let a page sign: over plain HTTP to any host but this one.
async function sign(key, url) {
  if (!crypto.subtle) return null;
  const seconds = Math.floor((Date.now() + skew) / 1000);
  const parts = [{ alg: 'HS256', typ: 'JWT' }, { aud: url, iat: seconds, exp: seconds + 60 }];
  const text = parts.map((part) => base64(utf8(JSON.stringify(part)))).join('.');
  const secret = await crypto.subtle.importKey('raw', utf8(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return `${text}.${base64(new Uint8Array(await crypto.subtle.sign('HMAC', secret, utf8(text))))}`;
}
