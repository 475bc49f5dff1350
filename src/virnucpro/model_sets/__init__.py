"""What a model set is: modelset.json, its rules and digest, calibrations and certificates."""
