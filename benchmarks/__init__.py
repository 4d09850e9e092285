"""`make bench`: our integer engine beside the engines that a user could pick instead, interleaved in one run."""
