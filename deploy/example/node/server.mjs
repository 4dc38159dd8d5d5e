import { createHmac, timingSafeEqual } from "node:crypto";
import { Readable } from "node:stream";
import express from "express";
import { AzureKeyCredential, WebPubSubServiceClient } from "@azure/web-pubsub";
import { WebPubSubEventHandler } from "@azure/web-pubsub-express";

const { ENDPOINT = "http://127.0.0.1:8080", ACCESS_KEY, PORT = "3000" } = process.env;
const chat = new WebPubSubServiceClient(ENDPOINT, new AzureKeyCredential(ACCESS_KEY), "chat", { allowInsecureConnection: true });

const events = new WebPubSubEventHandler("chat", {
  path: "/events",
  handleConnect({ query }, response) {
    if (!query.id) return response.fail(401, "connect with ?id=NAME\n");
    response.success({ userId: query.id[0], groups: ["lobby"] });
  },
  handleUserEvent: ({ context, data }, response) =>
    chat.sendToAll(`${context.userId}: ${data}`, { contentType: "text/plain" })
      .then(() => response.success(), (err) => response.fail(500, err.message)),
});

// The SDK verifies nothing: whoever reaches this port could say who is who. The
// gateway signs as Standard Webhooks has it, with the text of the access key.
function genuine({ headers }, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures = "" } = headers;
  const mac = createHmac("sha256", ACCESS_KEY).update(`${id}.${time}.`).update(body).digest();
  return Math.abs(Date.now() / 1000 - time) < 300 && signatures.split(" ").some((s) => {
    const signed = Buffer.from(s.replace(/^v1,/, ""), "base64");
    return s.startsWith("v1,") && signed.length === mac.length && timingSafeEqual(signed, mac);
  });
}

async function verify(request, response, next) {
  if (request.method !== "POST") return next(); // OPTIONS asks whether we want events, unsigned
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (!genuine(request, Buffer.concat(chunks))) return response.status(401).end("not signed by the gateway\n");
  const body = Readable.from(chunks); // which the SDK reads once more
  request.on = body.on.bind(body);
  next();
}
const server = express().use(verify, events.getMiddleware()).listen(PORT, "127.0.0.1", () => console.log("listening on", server.address().port));
