// How results get into outdir. A folder appears there complete, by one rename, or not at all. It is made in
// a hidden folder of the run, beside the results and so on their disk, which the run holds by a lock:
// the kernel releases the lock of a killed run, and the next run then clears its folder away.

// Returns what a run knows of its outdir. Threads share it.
def newPublication(outdir, mode) {
    return new java.util.concurrent.ConcurrentHashMap([outdir: file(outdir, glob: false), mode: mode])
}

// Makes the hidden folder of the run, and clears away those of runs that were killed.
def openPublication(run) {
    if (hasRename(run.outdir)) {
        def hidden = run.outdir.resolve(".publishing-${UUID.randomUUID().toString().take(8)}")
        java.nio.file.Files.createDirectories(hidden)
        run.hidden = hidden
        run.lock = lockOf(hidden) ?: 'none: this file system has no locks'
        run.outdir.listFiles().findAll { f -> f.name.startsWith('.publishing-') && f != hidden }.each { f -> clearLeftover(f, run.outdir) }
    }
}

// Removes the hidden folder.
def closePublication(run) {
    if (run.hidden) {
        deleteHidden(run.hidden)
        if (run.lock instanceof java.nio.channels.FileChannel) {
            run.lock.close()
        }
        run.remove('hidden')
    }
}

// Puts files, relative name -> path, into <outdir>/<name>, which replaces a folder of that name whole.
// `manifest` is the file that knows their sha256, and is completed with those that it does not; null: none.
// Throws IOException, and then leaves everything as it was.
def publishFolder(run, name, files, manifest) {
    if (!run.hidden) {
        publishWithoutRename(run.outdir.resolve(name), files, manifest)
        return
    }
    def target = run.outdir.resolve(name)
    def fresh = run.hidden.resolve("new/${name}")
    try {
        def digests = files.collectEntries { relative, source -> [relative, transfer(source, fresh.resolve(relative), target.resolve(relative), run.mode)] }
        if (manifest) {
            fresh.resolve('manifest.json').text = completed(manifest, files, digests)
        }
        def further = furtherFiles(target, files.keySet())
        if (further) {
            log.warn("${target} had files that this pipeline did not write (${further.take(3).join(', ')}): the folder is now ${setAside(run, name)}")
        }
        replaceFolder(fresh, target, run.hidden.resolve("replaced/${name}"), 10)
    }
    catch (Exception fault) {
        deleteTree(fresh)
        throw fault
    }
}

// Writes a small text file in outdir, complete or not at all.
def publishText(run, relative, text) {
    def target = run.outdir.resolve(relative)
    java.nio.file.Files.createDirectories(target.parent)
    def temporary = run.hidden ? run.hidden.resolve(target.name) : target
    temporary.text = text
    if (run.hidden) {
        java.nio.file.Files.move(temporary, target, java.nio.file.StandardCopyOption.ATOMIC_MOVE)
    }
}

// Moves a folder of an earlier run away from the results; returns its new place.
def setAside(run, name) {
    def folder = run.outdir.resolve('pipeline_info/earlier_results')
    java.nio.file.Files.createDirectories(folder)
    def place = ([name] + (2..9999).collect { n -> "${name}.${n}" }).collect { n -> folder.resolve(n.toString()) }.find { path -> !isThere(path) }
    java.nio.file.Files.move(run.outdir.resolve(name), place)
    return place
}

// Returns one line about a fault of writing into outdir; what is not one of input or output is thrown again.
def writeFault(run, name, fault) {
    def cause = rootCause(fault)
    if (!(cause instanceof IOException)) {
        throw fault
    }
    def why = cause instanceof java.nio.file.FileSystemException ? [cause.reason ?: cause.class.simpleName, cause.file].findAll().join(': ') : cause.message
    def free = run.hidden ? ", ${java.nio.file.Files.getFileStore(run.outdir).usableSpace.intdiv(1000000)} MB free on its disk" : ''
    return "${run.outdir.resolve(name)} cannot be written (${why})${free}. When the cause is fixed, go on with -resume"
}

// Groovy and Java's streams wrap an IOException in others.
def rootCause(fault) {
    return fault.cause && fault.cause != fault ? rootCause(fault.cause) : fault
}

// Object stores have no rename, nor locks.
def hasRename(folder) {
    return folder.fileSystem == java.nio.file.FileSystems.default
}

// manifest.json goes first and comes last, so that half a folder has none.
def publishWithoutRename(target, files, manifest) {
    java.nio.file.Files.deleteIfExists(target.resolve('manifest.json'))
    furtherFiles(target, [], false).findAll { relative -> !(relative in files.keySet()) }.each { relative -> java.nio.file.Files.delete(target.resolve(relative)) }
    def digests = files.collectEntries { relative, source -> [relative, transfer(source, target.resolve(relative), null, 'copy')] }
    if (manifest) {
        target.resolve('manifest.json').text = completed(manifest, files, digests)
    }
}

// Copies or links a file; returns its sha256. A link is to work from `link_place`, not from where it is made.
def transfer(source, target, link_place, mode) {
    java.nio.file.Files.createDirectories(target.parent)
    def digest = java.security.MessageDigest.getInstance('SHA-256')
    source.withInputStream { stream ->
        def input = new java.security.DigestInputStream(stream, digest)
        if (mode.startsWith('copy')) {
            java.nio.file.Files.copy(input, target, java.nio.file.StandardCopyOption.REPLACE_EXISTING)
        }
        else {
            input.transferTo(OutputStream.nullOutputStream())
        }
    }
    if (mode == 'link') {
        java.nio.file.Files.createLink(target, source.toRealPath())
    }
    else if (mode == 'symlink') {
        java.nio.file.Files.createSymbolicLink(target, source.toRealPath())
    }
    else if (mode == 'rellink') {
        def folder = realFolder(link_place.parent)
        java.nio.file.Files.createSymbolicLink(target, folder.relativize(source.toRealPath()))
    }
    else if (hasRename(target)) {
        syncToDisk(target)
    }
    return digest.digest().encodeHex().toString()
}

// A crash of the machine right after the rename must not leave empty files under their names.
def syncToDisk(path) {
    java.nio.channels.FileChannel.open(path, java.nio.file.StandardOpenOption.WRITE).withCloseable { channel -> channel.force(false) }
}

// Returns the text of the manifest with an entry for each file. Throws IOException for one that has changed.
def completed(manifest, files, digests) {
    def content = new groovy.json.JsonSlurperClassic().parseText(manifest.text)
    def added = digests.findAll { relative, _sha256 -> !content.files[relative] }
    digests.findAll { relative, sha256 -> content.files[relative] && content.files[relative].sha256 != sha256 }.each { relative, _sha256 ->
        throw new IOException("${files[relative]} is not what its task wrote: it was changed or is damaged. Remove ${manifest.parent.parent}")
    }
    if (!added) {
        return manifest.text
    }
    def entries = added.collectEntries { relative, sha256 -> [relative, [bytes: java.nio.file.Files.size(files[relative]), sha256: sha256]] }
    return groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(content + [files: (content.files + entries).sort()])) + '\n'
}

// Renames a folder into its place, and what is there out of it. Another run may do the same just now.
def replaceFolder(fresh, target, replaced, attempts) {
    try {
        if (isThere(target)) {
            deleteTree(replaced)
            java.nio.file.Files.createDirectories(replaced.parent)
            java.nio.file.Files.move(target, replaced, java.nio.file.StandardCopyOption.ATOMIC_MOVE)
        }
        java.nio.file.Files.move(fresh, target, java.nio.file.StandardCopyOption.ATOMIC_MOVE)
    }
    catch (java.nio.file.FileSystemException fault) {
        def other_run = isThere(fresh) && (isThere(target) || fault instanceof java.nio.file.NoSuchFileException)
        if (!other_run || attempts == 0) {
            if (isThere(replaced) && !isThere(target)) {
                java.nio.file.Files.move(replaced, target)
            }
            throw fault
        }
        replaceFolder(fresh, target, replaced, attempts - 1)
    }
    deleteTree(replaced)
}

// Returns files in a folder that are neither among these names nor of an earlier run.
def furtherFiles(folder, names, skip_ours = true) {
    if (!isThere(folder)) {
        return []
    }
    def ours = skip_ours ? names + ['manifest.json'] + namesInManifest(folder) : []
    return filesBelow(folder)
        .collect { path -> folder == path ? path.name : folder.relativize(path).toString() }
        .findAll { relative -> !(relative in ours) && !(skip_ours && relative ==~ /embeddings\/[^\/]+[.]h5/) }
}

// Returns the files that the manifest of a folder names; none where there is no readable one.
def namesInManifest(folder) {
    try {
        return new groovy.json.JsonSlurperClassic().parseText(folder.resolve('manifest.json').text).files.keySet() as List
    }
    catch (Exception fault) {
        log.debug("${folder}: ${fault}")
        return []
    }
}

// Returns an open channel that locks a hidden folder; null where another run has it, or there are no locks.
def lockOf(hidden) {
    def channel = null
    try {
        channel = java.nio.channels.FileChannel.open(hidden.resolve('lock'), java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE)
        if (channel.tryLock()) {
            return channel
        }
    }
    catch (IOException fault) {
        log.debug("${hidden}: ${fault}")
    }
    channel?.close()
    return null
}

// Removes the hidden folder of a run that is dead; what it took away without putting anything in its place
// goes back.
def clearLeftover(hidden, outdir) {
    def lock = isThere(hidden.resolve('lock')) ? lockOf(hidden) : null
    if (lock) {
        (hidden.resolve('replaced').listFiles() ?: []).findAll { old -> !isThere(outdir.resolve(old.name)) }.each { old ->
            java.nio.file.Files.move(old, outdir.resolve(old.name))
        }
        deleteHidden(hidden)
        lock.close()
    }
}

// Removes a hidden folder; the lock last, so that it is found again after a kill in between.
def deleteHidden(hidden) {
    hidden.listFiles().findAll { f -> f.name != 'lock' }.each { f -> deleteTree(f) }
    deleteTree(hidden)
}

// Removes a file, a link, or a folder with its content; links are not followed.
def deleteTree(path) {
    if (isThere(path)) {
        def stream = java.nio.file.Files.walk(path)
        def paths = stream.collect(java.util.stream.Collectors.toList())
        stream.close()
        paths.reverse().each { p -> java.nio.file.Files.deleteIfExists(p) }
    }
}

// Returns the files, and links, below a folder; the path itself where it is not a folder.
def filesBelow(folder) {
    def stream = java.nio.file.Files.walk(folder)
    def paths = stream.collect(java.util.stream.Collectors.toList())
    stream.close()
    return paths.findAll { path -> !java.nio.file.Files.isDirectory(path, java.nio.file.LinkOption.NOFOLLOW_LINKS) }.sort()
}

// Returns whether there is something, be it a link to nothing.
def isThere(path) {
    return java.nio.file.Files.exists(path, java.nio.file.LinkOption.NOFOLLOW_LINKS)
}

// Returns a folder without links, which may not be there yet.
def realFolder(path) {
    return path.exists() ? path.toRealPath() : realFolder(path.parent).resolve(path.name)
}
