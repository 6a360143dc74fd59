// Package hostile shows that clients which do nothing, or do harm, cost the server little and other clients nothing,
// and that nothing is left of them once they are gone.
package hostile
