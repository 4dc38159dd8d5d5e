// poll asks for a JSON document again and again, one request at a time. seen gets
// each document, lost the error of a request that failed.
export function poll(url, interval, seen, lost) {
  const once = async () => {
    let document;
    try {
      const response = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(5000) });
      if (!response.ok) throw new Error(`${response.status} ${(await response.text()).trim()}`);
      document = await response.json();
    } catch (error) {
      lost(error);
    }
    if (document) seen(document);
    setTimeout(once, interval);
  };
  once();
}
