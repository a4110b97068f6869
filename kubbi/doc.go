// Package kubbi is a client for the Kubbi HTTP API. A payload (a text, a JSON value or
// files) is handed from one party to another through a claim URL. It is wiped when its last
// retrieval is used or its time has passed.
//
// # Which call to use
//
// Make one [Client] with [NewClient] and keep it. It is safe for concurrent use and holds
// the connections. Close it at the end.
//
// A producer needs an API key, or a relay in its own process (kubbi-mcp/relay/local):
//
//   - [Client.Send] sends one text or JSON value, [Client.SendFiles] a package of files.
//     Both give a [Sent], whose ClaimURL goes to the recipient.
//   - [Client.Get], [Client.List] and [Client.All] show what was sent, without payloads.
//     [Client.Delete] ends a kubbi early and wipes its payload.
//
// With a relay of ours, it can also ask for something:
//
//   - [Client.Ask] asks a person or another agent for values or files, and gives a [Request]:
//     its RequestURL goes to whoever shall answer, its ClaimURL claims the answer.
//     [Client.Asked] says whether there is one, [Client.Withdraw] ends the request.
//   - [Client.Question] and [Client.Answer] are the other side. They need no key.
//
// A consumer needs a claim URL or a bare claim token, and no key:
//
//   - [Client.Inspect] describes the kubbi. It is free.
//   - [Client.Claim] gives the payload, a [Claimed], in memory or in a file ([ToFile]).
//     It counts as a retrieval.
//   - [Client.ClaimTo] gives the payload to a function while it is received.
//
// Large contents need not be in memory: send them as a [Source], and claim them with
// [ToFile] or [Client.ClaimTo]. All these calls work with the hosted service and with our
// relay. The client exchanges payloads with our relay as raw bytes after one line of JSON
// (api.TypeRaw), and with any other service as JSON. The caller sees no difference.
//
// # Where keys live
//
// The API key stays in the Client and goes only to the base URL's origin, in a header. A
// claim URL is a capability: whoever holds it may claim. Treat it as a secret. Neither API
// keys nor claim tokens, idempotency keys or payloads appear in an error or a log of this
// package, at any level.
//
// With Sealed set, a payload is encrypted before it is sent. The key is random. It is only
// in the claim URL that Send returns, after "#", and no request carries that part. So
// nobody can read the payload without the claim URL, not even the service. Claim decrypts
// it. If the key is missing or belongs to another kubbi, Claim fails with [ErrSealed] before
// a retrieval is counted.
//
// With To set, the random key is encrypted (HPKE, RFC 9180) for the public keys of
// recipients, and is not in the claim URL. Each [Recipient] opens it with its [Identity], which
// [WithIdentities] gives to the client. The answer to a request is sealed in this way for a
// key pair of its own, whose private key is in the claim URL of [Request]. docs/wire.md
// describes the formats.
//
// # What is promised
//
// Claim URLs often come from strangers. The client contacts only the base URL's origin,
// https://api.kubbi.ai and the origins of [WithAllowedOrigins]. For any other origin it
// fails with [ErrOrigin] before it connects. [AnyOrigin] allows all https origins, except
// those whose address, when it is dialled, is private or reserved. The client follows no
// redirect to another origin.
//
// The client retries after network failures and after the statuses 502, 503 and 504. Every
// create and claim has an idempotency key, the same for all its attempts. A relay that
// supports it (ours does; the hosted service is not known to) counts them once and repeats
// its answer for a grace time. So a lost answer is not a lost payload. When the payload has
// arrived, the client ends the grace in the background; [Client.Close] waits for that. With
// [HoldGrace] the caller ends it.
//
// A claimed payload is somebody else's data. Every answer has a size limit, and every call
// ends with its context. Errors are of type [*Error]; match them with errors.Is against
// [ErrGone] and the other Err variables. [Error.Said] quotes the text of a service and marks
// it as data.
//
// The package follows the vendor's API reference and the official Python SDK 0.1.0. The
// types of the wire are in kubbi-mcp/kubbi/api.
package kubbi
