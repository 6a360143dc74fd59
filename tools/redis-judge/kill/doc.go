// Package kill kills the server in the middle of pipelines, again and again, and shows that what was acknowledged is
// there after each restart, and that no transaction is there by half.
package kill
