// What the senders' JavaScript libraries say of requests: the twin of pypi.py, with the same input and output.

// It is copied to where they are installed, since modules are looked for beside the file that wants them.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const load = (name) => import(name);
const must = (verdict) => {
  if (!verdict) throw new Error("refused");
};

const text = (request) => request.body.toString("utf8");
const field = (request, name) => request.lower[name.toLowerCase()];

const octokit = async (request) => {
  const { verify } = await load("@octokit/webhooks-methods");
  const header = field(request, "x-hub-signature-256") ?? field(request, "x-hub-signature");
  must(await verify(request.secret, text(request), header));
};

const standard = async (request) => {
  const { Webhook } = await load("standardwebhooks");
  new Webhook(request.secret).verify(request.body, request.lower);
};

const verifiers = {
  adyen: ["@adyen/api-library", async (request) => {
    const { hmacValidator } = require("@adyen/api-library");
    const validator = new hmacValidator();
    for (const { NotificationRequestItem } of JSON.parse(text(request)).notificationItems)
      must(validator.validateHMAC(NotificationRequestItem, request.secret));
  }],
  aws_sns: ["sns-validator", async (request) => {
    const https = require("https");
    const { EventEmitter } = require("node:events");
    const original = https.get;
    https.get = (_, callback) => {
      const response = Object.assign(new EventEmitter(), { statusCode: 200 });
      callback(response);
      response.emit("data", request.parameters.certificate);
      response.emit("end");
      return new EventEmitter();
    };
    delete require.cache[require.resolve("sns-validator")]; // it keeps certificates by their addresses
    const Validator = require("sns-validator");
    try {
      await new Promise((resolve, reject) =>
        new Validator().validate(text(request), (error) => (error ? reject(error) : resolve())));
    } finally {
      https.get = original;
    }
  }],
  bitbucket_cloud: ["@octokit/webhooks-methods", octokit],
  contentful: ["@contentful/node-apps-toolkit", async (request) => {
    const { verifyRequest } = require("@contentful/node-apps-toolkit");
    const address = new URL(request.url);
    must(verifyRequest(request.secret, {
      method: request.method, path: address.pathname + address.search, headers: request.lower, body: text(request),
    }, 0));
  }],
  discord: ["discord-interactions", async (request) => {
    const { verifyKey } = await load("discord-interactions");
    must(await verifyKey(
      request.body, field(request, "x-signature-ed25519"), field(request, "x-signature-timestamp"), request.secret,
    ));
  }],
  ebay: ["event-notification-nodejs-sdk", async (request) => {
    // Its own client would fetch the key.
    const client = require("event-notification-nodejs-sdk/lib/client");
    client.getPublicKey = async () => ({ key: request.secret.replaceAll("\n", "") });
    const { validateSignature } = require("event-notification-nodejs-sdk/lib/validator");
    must(await validateSignature(JSON.parse(text(request)), field(request, "x-ebay-signature"), {}));
  }],
  gitea: ["@octokit/webhooks-methods", async (request) => {
    request.lower["x-hub-signature-256"] = `sha256=${field(request, "x-gitea-signature")}`;
    await octokit(request);
  }],
  github: ["@octokit/webhooks-methods", octokit],
  jira: ["@octokit/webhooks-methods", async (request) => {
    request.lower["x-hub-signature-256"] = field(request, "x-hub-signature");
    await octokit(request);
  }],
  jira_connect: ["atlassian-jwt", async (request) => {
    const jwt = require("atlassian-jwt");
    const token = field(request, "authorization").replace(/^JWT /, "");
    const claims = jwt.decodeSymmetric(token, request.secret, jwt.SymmetricAlgorithm.HS256);
    const asked = jwt.fromMethodAndUrl(request.method, request.url);
    must(claims.qsh === jwt.createQueryStringHash(asked));
  }],
  line: ["@line/bot-sdk", async (request) => {
    const { validateSignature } = require("@line/bot-sdk");
    must(validateSignature(request.body, request.secret, field(request, "x-line-signature")));
  }],
  linear: ["@linear/sdk", async (request) => {
    const { LinearWebhookClient } = require("@linear/sdk/webhooks");
    must(new LinearWebhookClient(request.secret).verify(request.body, field(request, "linear-signature")));
  }],
  mux: ["@mux/mux-node", async (request) => {
    const Mux = require("@mux/mux-node").default;
    const mux = new Mux({ tokenId: "none", tokenSecret: "none" });
    await mux.webhooks.verifySignature(text(request), request.lower, request.secret);
  }],
  notion: ["@notionhq/client", async (request) => {
    const { verifyWebhookSignature } = require("@notionhq/client");
    must(await verifyWebhookSignature({
      body: text(request), signature: field(request, "x-notion-signature"), verificationToken: request.secret,
    }));
  }],
  paddle: ["@paddle/paddle-node-sdk", async (request) => {
    const { Paddle } = require("@paddle/paddle-node-sdk");
    const paddle = new Paddle("none");
    must(await paddle.webhooks.isSignatureValid(text(request), request.secret, field(request, "paddle-signature")));
  }],
  retell: ["retell-sdk", async (request) => {
    const { Retell } = require("retell-sdk");
    must(await Retell.verify(text(request), request.secret, field(request, "x-retell-signature")));
  }],
  sanity: ["@sanity/webhook", async (request) => {
    const { isValidSignature } = require("@sanity/webhook");
    must(await isValidSignature(text(request), field(request, "sanity-webhook-signature"), request.secret));
  }],
  shopify: ["@shopify/shopify-api", async (request) => {
    require("@shopify/shopify-api/adapters/node");
    const { shopifyApi, LATEST_API_VERSION, ApiVersion } = require("@shopify/shopify-api");
    const shopify = shopifyApi({
      apiKey: "none", apiSecretKey: request.secret, hostName: "example.com", isEmbeddedApp: false,
      apiVersion: LATEST_API_VERSION ?? Object.values(ApiVersion).at(-1), logger: { log: () => {} },
    });
    const rawRequest = { method: request.method, url: request.url, headers: request.lower };
    must((await shopify.webhooks.validate({ rawBody: text(request), rawRequest, rawResponse: {} })).valid);
  }],
  standard_webhooks: ["standardwebhooks", standard],
  stripe: ["stripe", async (request) => {
    const Stripe = require("stripe");
    new Stripe("sk_none").webhooks.constructEvent(
      request.body, field(request, "stripe-signature"), request.secret);
  }],
  svix: ["svix", async (request) => {
    const { Webhook } = require("svix");
    new Webhook(request.secret).verify(text(request), request.lower);
  }],
  webflow: ["webflow-api", async (request) => {
    const { WebflowClient } = require("webflow-api");
    const client = new WebflowClient({ accessToken: "none" });
    must(await client.webhooks.verifySignature({
      headers: request.lower, body: text(request), secret: request.secret,
    }));
  }],
  workos: ["@workos-inc/node", async (request) => {
    const { WorkOS } = await load("@workos-inc/node");
    const client = new WorkOS("sk_none");
    await client.webhooks.constructEvent({
      payload: JSON.parse(text(request)), sigHeader: field(request, "workos-signature"), secret: request.secret,
    });
  }],
  zoom: ["@zoom/rivet", async (request) => {
    const { AwsLambdaReceiver } = await load("@zoom/rivet/teamchat");
    const receiver = new AwsLambdaReceiver({ webhooksSecretToken: request.secret });
    receiver.eventEmitter ??= { emit: async () => {} };
    const handle = receiver.start();
    const answer = await handle(
      { body: text(request), headers: request.lower, isBase64Encoded: false }, {}, () => {});
    must(answer.statusCode === 200);
  }],
};

const signers = {
  contentful: ["@contentful/node-apps-toolkit", async (request) => {
    const { signRequest } = require("@contentful/node-apps-toolkit");
    const address = new URL(request.url);
    return [signRequest(request.secret, {
      method: request.method, path: address.pathname + address.search, headers: request.headers, body: text(request),
    }, Date.now()), request.body];
  }],
  github: ["@octokit/webhooks-methods", async (request) => {
    const { sign } = await load("@octokit/webhooks-methods");
    return [{ "X-Hub-Signature-256": await sign(request.secret, text(request)) }, request.body];
  }],
  jira_connect: ["atlassian-jwt", async (request) => {
    const jwt = require("atlassian-jwt");
    const asked = jwt.fromMethodAndUrl(request.method, request.url);
    const moment = Math.floor(Date.now() / 1000);
    const claims = { iss: "oracle", iat: moment, exp: moment + 180, qsh: jwt.createQueryStringHash(asked) };
    const token = jwt.encodeSymmetric(claims, request.secret, jwt.SymmetricAlgorithm.HS256);
    return [{ Authorization: `JWT ${token}` }, request.body];
  }],
  notion: ["@notionhq/client", async (request) => {
    const { signWebhookPayload } = require("@notionhq/client");
    const signature = await signWebhookPayload({ body: text(request), verificationToken: request.secret });
    return [{ "X-Notion-Signature": signature }, request.body];
  }],
  sanity: ["@sanity/webhook", async (request) => {
    const { encodeSignatureHeader } = require("@sanity/webhook");
    const header = await encodeSignatureHeader(text(request), Date.now(), request.secret);
    return [{ "sanity-webhook-signature": header }, request.body];
  }],
};

const opened = (job) => ({
  ...job,
  body: Buffer.from(job.body, "base64"),
  lower: Object.fromEntries(Object.entries(job.headers).map(([name, value]) => [name.toLowerCase(), value])),
});
const named = (name) => {
  const lock = require("./package-lock.json");
  return `${name} ${lock.packages[`node_modules/${name}`].version} (npm)`;
};

const judge = async (job) => {
  const [name, verify] = verifiers[job.adapter];
  try {
    await verify(opened(job));
  } catch (error) {
    return { by: named(name), refused: String(error).slice(0, 200) };
  }
  return { by: named(name), refused: null };
};
const sign = async (job) => {
  const [name, make] = signers[job.adapter];
  const [headers, body] = await make(opened(job));
  return { by: named(name), headers, body: Buffer.from(body).toString("base64") };
};

let asked = "";
for await (const chunk of process.stdin) asked += chunk;
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = () => true; // libraries that talk would spoil the answer
let answer = { verify: Object.keys(verifiers).sort(), sign: Object.keys(signers).sort() };
if (asked.trim()) {
  const jobs = JSON.parse(asked);
  answer = { verify: [], sign: [] };
  for (const job of jobs.verify) answer.verify.push(await judge(job));
  for (const job of jobs.sign) answer.sign.push(await sign(job));
}
write(JSON.stringify(answer), () => process.exit(0));
