// Package kubbi is a client for the Kubbi HTTP API: it hands an ephemeral,
// encrypted payload from one party to another through a claim URL.
//
// # Which call to use
//
// A producer calls [Client.Send] for one text or JSON value and
// [Client.SendFiles] for a package of files, and passes the claim URL of the
// answer on. It looks after what it sent with [Client.Get], [Client.List],
// [Client.All] and [Client.Delete].
//
// A consumer calls [Client.Inspect], which is free, and [Client.Claim], which
// counts as a retrieval. Both take a claim URL or a bare claim token and need
// no API key.
//
// # Where secrets live
//
// The API key stays in the Client and goes to the base URL's origin only. A
// claim token is a capability: whoever holds the claim URL may claim. Neither
// one, nor an idempotency key, nor a payload appears in an error or a log of
// this package, at any level. A claim URL's fragment is never sent.
//
// What is sent with Sealed set is encrypted first, with a key that is nowhere but
// in that fragment. [Client.Claim] and [Client.ClaimSpooled] open it, and refuse
// with ErrSealed, before a retrieval is spent, a claim URL whose key is missing or
// is not the kubbi's. docs/sealed.md has the format.
//
// # How a payload travels
//
// Between this client and a relay of ours a payload travels raw, as its bytes after
// one line of JSON (api.TypeRaw): a [Source] is read while it is sent, and
// [Client.ClaimTo] and [Client.ClaimSpooled] write what is claimed as it comes. With
// any other service both speak JSON, whose answers stand in memory.
//
// # What is promised
//
// A claim URL often comes from someone else. Only the base URL's origin,
// https://api.kubbi.ai and the origins given with [WithAllowedOrigins] are
// contacted; any other is refused before a connection is made. With "*" any
// https origin goes, unless its address turns out to be a private or reserved
// one when it is dialled. No redirect leads to another origin.
//
// Network failures and the statuses 502, 503 and 504 are tried again. Every
// create and claim carries an idempotency key, the same one over its own
// retries: a relay that honours it (ours does, the hosted service is not known
// to) counts them once and repeats its answer, so that a lost answer is not a
// lost payload. Once a claim's payload is in memory, the client tells the relay
// so in the background, and the relay forgets it; [Client.Close] waits for that.
//
// Everything read has a limit, and every call ends when its context does.
//
// Errors are of type [*Error] and are matched with errors.Is against ErrGone
// and its siblings.
//
// The package mirrors the vendor's API reference and the official Python SDK
// 0.1.0; types of the wire are in kubbi/api.
package kubbi
