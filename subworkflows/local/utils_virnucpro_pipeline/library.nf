// The part of the Python library that each process runs. Its digest is an input of the process, so
// that `-resume` sees a change in the library and reruns just what uses it, and so that a script
// refuses an installed library that is another one. tests/unit/test_library.py derives this table
// from the imports of the scripts.
def libraryPackages() {
    [
        CHECK_MODEL_SET: ['consensus', 'input_checks', 'model_sets', 'models', 'scoring', 'sequences'],
        CHECK_SAMPLESHEET: ['input_checks', 'sequences', 'training'],
        SPLIT: ['sequences'],
        TRANSLATE: ['sequences'],
        EMBED_DNABERT_S: ['embeddings', 'engine', 'kernels', 'models', 'sequences'],
        EMBED_ESM2: ['embeddings', 'engine', 'kernels', 'models', 'sequences'],
        CLASSIFY: ['embeddings', 'scoring', 'sequences'],
        SUMMARISE: ['calls', 'consensus', 'scoring', 'sequences'],
        PREPARE_TRAINING: ['sequences', 'training'],
        TRAIN_CLASSIFIER: ['embeddings', 'scoring', 'sequences', 'training'],
        EVALUATE_CLASSIFIER: ['consensus', 'embeddings', 'model_sets', 'scoring', 'sequences', 'training'],
    ]
}

// Process name -> 'package,package:sha256' over its modules, as virnucpro.task.library_digest
// computes it.
def libraryDigests() {
    def root = file("${projectDir}/src/virnucpro", glob: false)
    return libraryPackages().collectEntries { name, packages ->
        def modules = root.listFiles().findAll { f -> f.name.endsWith('.py') }
        packages.each { p -> modules += root.resolve(p).listFiles().findAll { f -> f.name ==~ /.*\.(py|json)/ } }
        def digest = java.security.MessageDigest.getInstance('SHA-256')
        modules.collectEntries { f -> [root.relativize(f).toString(), f.bytes] }
            .sort()
            .each { path, bytes ->
                digest.update("${path}\0${bytes.length}\0".getBytes('UTF-8'))
                digest.update(bytes)
            }
        [name, packages.join(',') + ':' + digest.digest().encodeHex()]
    }
}
