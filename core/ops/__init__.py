"""What can be computed: each op's definition and gradient rules, one file per family."""
