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
const server = express().use(events.getMiddleware()).listen(PORT, "127.0.0.1", () => console.log("listening on", server.address().port));
