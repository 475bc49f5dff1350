"""What a run is asked for, checked before any other task: model set, options, sheets."""
