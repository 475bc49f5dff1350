// What this machine must have, checked before any task: a fault of the set-up is one line, and not a sample's.

// Stops the run where its tasks could not work.
def checkEnvironment(values) {
    def local_gpu = values.device == 'cuda' && tasksAreLocal()
    def fault = localeFault() ?: (workflow.containerEngine ? containerFault(values, local_gpu) : pythonFault(values, local_gpu))
    if (fault) {
        error(fault)
    }
}

// Returns why embedding tasks of this run save no checkpoints, though they should, or null.
def checkpointWarning(values) {
    def place = values.checkpoint_dir == null ? "${workflow.workDir.toUriString()}.checkpoints" : values.checkpoint_dir.toString()
    if (place == 'false') {
        return null
    }
    def remedy = 'an interrupted embedding task will start again. Give a folder that all nodes share as --checkpoint_dir, or false'
    if (place ==~ /[a-z0-9]+:\/\/.*/) {
        return "No checkpoints: ${place} is object storage, so ${remedy}"
    }
    def existing = existingFolder(java.nio.file.Path.of(place))
    def is_usable = java.nio.file.Files.isDirectory(existing) && java.nio.file.Files.isWritable(existing)
    return is_usable || !tasksAreLocal() ? null : "No checkpoints: ${place} is not writable, so ${remedy}"
}

// Returns a path, or the nearest one above it that exists.
def existingFolder(path) {
    return java.nio.file.Files.exists(path) ? path : existingFolder(path.parent)
}

// Java cannot name a file with an umlaut under LC_ALL=C.
def localeFault() {
    def encoding = System.getProperty('sun.jnu.encoding')
    def named = [workflow.commandLine, launchDir, projectDir].join(' ')
    return encoding == 'UTF-8' || named ==~ /[\x00-\x7f]*/ ? null : "The locale has no letters beyond ASCII (${encoding}), but a path does: export LC_ALL=C.UTF-8"
}

// The Python of .venv must start for this user, and have the library with all that it needs.
def pythonFault(values, needs_gpu) {
    def (status, text) = taskPython('from importlib.metadata import version; version("virnucpro")')
    if (status != 0) {
        return "${projectDir}/.venv does not work for this user: run `make setup` in ${projectDir}, or use a container profile. (${text})"
    }
    if (values.engine == 'official') {
        def found = taskPython('import sys; from importlib.util import find_spec as find; sys.exit(not (find("esm") or find("transformers")))')
        if (found[0] != 0) {
            return "--engine official: needs fair-esm or transformers: ${projectDir}/.venv/bin/python -m pip install fair-esm"
        }
    }
    if (needs_gpu) {
        def (gpu_status, reason) = taskPython('from virnucpro.engine.device import choose_device; choose_device("cuda")')
        return gpu_status == 0 ? null : reason.replaceFirst(/^.*InputError: /, '')
    }
    return null
}

// Returns [exit status, last line] of Python code, run as tasks run theirs.
def taskPython(code) {
    return outputOf(['bash', '-c', '. "$0" && exec "$vnp_root/.venv/bin/python" -c "$1"', "${projectDir}/tools/task_env.sh", code])
}

// The engine must be there, and the images: the two checks run here with any executor.
def containerFault(values, needs_gpu) {
    def engine = workflow.containerEngine
    def (status, text) = outputOf([engine, '--version'])
    if (status != 0) {
        return "-profile ${engine}: ${engine} does not run on this machine. (${text})"
    }
    def defaults = workflow.container.values() as List
    def images = [image_cpu: values.image_cpu ?: workflow.container['default'], image_gpu: values.image_gpu ?: (defaults - workflow.container['default'])[0]]
    def missing = images.findAll { name, image -> image && (name == 'image_cpu' || tasksAreLocal()) && imageIsMissing(engine, image.toString()) }
    if (missing) {
        return "-profile ${engine}: there is no image ${missing.collect { name, image -> "${image} (--${name})" }.join(', ')}. See docs/hpc.md, or run `make images` in ${projectDir}"
    }
    if (needs_gpu && outputOf(['nvidia-smi', '-L'])[0] != 0) {
        return '--device cuda: there is no usable GPU on this machine (nvidia-smi -L lists none). Use --device auto.'
    }
    return null
}

// Returns whether an image is neither here nor in a registry that an engine would ask.
def imageIsMissing(engine, image) {
    if (image.startsWith('/') || image ==~ /.*[.](sif|img)/) {
        return !file(image, glob: false).exists()
    }
    if (image ==~ /.*:\/\/.*/ || image ==~ /[^\/]+[.:][^\/]*\/.*/) {
        return false
    }
    return engine in ['apptainer', 'singularity'] || outputOf([engine, 'image', 'inspect', image])[0] != 0
}

// Returns whether the tasks run on this machine, as far as the configuration tells.
def tasksAreLocal() {
    def config = nextflow.Global.session.config.process
    def selected = config.findAll { key, _value -> key =~ /^with/ && key != 'withName:CHECK_.*' }.values()
    return ([config.executor ?: System.getenv('NXF_EXECUTOR')] + selected*.executor).findAll().every { name -> name == 'local' }
}

// Returns [exit status, last line] of a program; 127 where it cannot be started.
def outputOf(command) {
    try {
        def process = new ProcessBuilder(command*.toString()).redirectErrorStream(true).start()
        process.outputStream.close()
        def lines = process.inputStream.readLines().findAll { line -> line.trim() }
        return [process.waitFor(), lines ? lines[-1] : '']
    }
    catch (IOException fault) {
        return [127, fault.message.replaceFirst(/.*error=\d+, /, '')]
    }
}
