// An OpenID provider for tests: the real `oidc-provider`, and beside it, under /control, what a test needs to move it.
//
//   node server.js PORT
//
// Anybody may log in, with any name and password. All state is in memory, and survives a rotation of keys.

import { generateKeyPair, randomBytes } from 'node:crypto';
import http from 'node:http';
import { promisify } from 'node:util';

import { Provider } from 'oidc-provider';

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;

// Lifetimes in seconds, as a test wants them.
const ttl = { AccessToken: 3600, ClientCredentials: 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400 };
// Status with which a path is answered instead, and how many requests each path had.
const failing = new Map();
const counts = new Map();
let delay = 0;

class Store {
  static values = new Map();
  static grants = new Map();
  static uids = new Map();

  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload, seconds) {
    const until = seconds ? Date.now() + seconds * 1000 : Infinity;
    Store.values.set(`${this.model}:${id}`, { payload, until });
    if (payload.uid) Store.uids.set(payload.uid, id);
    if (payload.grantId) {
      const tokens = Store.grants.get(payload.grantId) ?? new Set();
      Store.grants.set(payload.grantId, tokens.add(`${this.model}:${id}`));
    }
  }

  async find(id) {
    const found = Store.values.get(`${this.model}:${id}`);
    return found && Date.now() < found.until ? found.payload : undefined;
  }

  async findByUid(uid) {
    return this.find(Store.uids.get(uid));
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    const found = await this.find(id);
    if (found) found.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    Store.values.delete(`${this.model}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const key of Store.grants.get(grantId) ?? []) Store.values.delete(key);
    Store.grants.delete(grantId);
  }
}

let keyNumber = 0;
async function newKey(alg) {
  const [type, options] = alg.startsWith('ES')
    ? ['ec', { namedCurve: 'P-256' }]
    : ['rsa', { modulusLength: 2048 }];
  const { privateKey } = await promisify(generateKeyPair)(type, options);
  keyNumber += 1;
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `key-${keyNumber}` };
}

function findAccount(_, id) {
  const email = `${id}@example.com`;
  const groups = id === 'root' ? ['admins', 'users'] : ['users'];
  return { accountId: id, claims: () => ({ sub: id, email, email_verified: true, name: id, groups }) };
}

const cookieKey = randomBytes(16).toString('hex');
function provider(keys) {
  const made = new Provider(issuer, {
    adapter: Store,
    jwks: { keys },
    cookies: { keys: [cookieKey] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    conformIdTokenClaims: false,
    findAccount,
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    pkce: { methods: ['S256'], required: () => true },
    scopes: ['openid', 'offline_access', 'email', 'profile', 'orders:read', 'orders:write'],
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'PS256'] },
    ttl: Object.fromEntries(Object.keys(ttl).map((name) => [name, () => ttl[name]])),
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      // A token for this resource is a JWT; without a resource it is opaque.
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'orders:read orders:write',
          audience: resource,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: keys[0].alg } },
        }),
      },
    },
  });
  for (const event of ['server_error', 'authorization.error', 'grant.error', 'introspection.error']) {
    made.on(event, (_, error) => console.error(event, error));
  }
  return made.callback();
}

let keys = [await newKey('RS256')];
let current = provider(keys);

// What tests may do. Each takes and gives JSON.
const controls = {
  // A client, in the words of OpenID Connect Dynamic Client Registration.
  async client(metadata) {
    await new Store('Client').upsert(metadata.client_id, metadata);
  },
  // From now on a new key signs; the old ones are still published, or not.
  async rotate({ alg = 'RS256', keep = true }) {
    keys = [await newKey(alg), ...(keep ? keys : [])];
    current = provider(keys);
    return { kid: keys[0].kid };
  },
  ttl(seconds) {
    Object.assign(ttl, seconds);
  },
  // Ends what was issued to clients and people: nobody is logged in any more, no token is active.
  forget() {
    for (const key of Store.values.keys()) if (!key.startsWith('Client:')) Store.values.delete(key);
  },
  // { path, status }: answered with this status; without one, answered again as it should be.
  fail({ path, status }) {
    if (status) failing.set(path, status);
    else failing.delete(path);
  },
  // Every answer takes so many milliseconds longer.
  delay({ ms }) {
    delay = ms;
  },
  counts: () => Object.fromEntries(counts),
};

async function control(request, response, name) {
  let text = '';
  for await (const piece of request) text += piece;
  const act = controls[name];
  const result = act && (await act(text ? JSON.parse(text) : {}));
  response.writeHead(act ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(result ?? {}));
}

const server = http.createServer(async (request, response) => {
  const { pathname } = new URL(request.url, issuer);
  if (pathname.startsWith('/control/')) {
    await control(request, response, pathname.slice('/control/'.length));
    return;
  }
  counts.set(pathname, (counts.get(pathname) ?? 0) + 1);
  if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
  if (failing.has(pathname)) {
    response.writeHead(failing.get(pathname), { 'content-type': 'text/plain' });
    response.end('told to fail');
    return;
  }
  current(request, response);
});
server.listen(port, '127.0.0.1');
