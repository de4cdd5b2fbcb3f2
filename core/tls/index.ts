/**
 * TLS inside the platform: whom our clients believe, what our servers serve with, and the certificates of both. It
 * promises that names are always verified, that a client given an authority believes that one alone, and that files
 * which are replaced are used without a restart; it refuses to fall back to plain text: the URL decides.
 */
export { agentFor, requestTo } from './client.ts'
export { type CertificateRequest, type Issued, issueCertificates, type Leaf } from './issuing.ts'
export { httpServer, type ServingFiles } from './server.ts'
export { authoritiesOf, type Trust } from './trust.ts'
