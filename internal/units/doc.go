// Package units has the three quantities that an operator writes in a configuration: Bytes,
// Duration and Ratio.
//
// A value that cannot be read exactly is an error that shows the accepted forms; it is never
// rounded to something near and never becomes 0. Every package that owns a Config uses these
// types, and the report and the log print with them. They read and write text, in which form YAML
// and JSON carry them, and know no clock.
package units
