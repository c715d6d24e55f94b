// Package setup makes the parts that the running exporter and the one-shot commands have in common,
// in the same way for both: the configuration, the log, the journal, the clock, the tracker of
// processes, and the directory actions of a target. What check and cleanup foresee or do is
// therefore what the exporter would do.
//
// Making a part changes nothing but the journal's own folder, and starts nothing. A mistake that a
// person makes on the command line or in a file that it names matches ErrMistake, or is a
// config.Errors.
package setup
