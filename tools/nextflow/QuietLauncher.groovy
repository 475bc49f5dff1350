package virnucpro

import ch.qos.logback.classic.Level
import ch.qos.logback.classic.Logger
import ch.qos.logback.classic.LoggerContext
import ch.qos.logback.classic.spi.LoggerContextListener
import ch.qos.logback.classic.turbo.TurboFilter
import ch.qos.logback.core.spi.FilterReply
import nextflow.cli.Launcher
import nextflow.config.schema.SchemaNode
import org.slf4j.LoggerFactory
import org.slf4j.Marker

/** Nextflow without a false warning of 25.04's v2 parser: it does not know that withLabel, withName and maps have process options (#6542). */
class QuietLauncher extends TurboFilter implements LoggerContextListener {
    static void main(String[] arguments) {
        LoggerFactory.ILoggerFactory.addListener(new QuietLauncher())
        Launcher.main(arguments)
    }

    // Nextflow sets its log up more than once, which drops filters but not such a listener
    boolean isResetResistant() { true }
    void onReset(LoggerContext context) { context.addTurboFilter(this) }
    void onStart(LoggerContext context) { }
    void onStop(LoggerContext context) { }
    void onLevelChange(Logger logger, Level level) { }

    FilterReply decide(Marker marker, Logger logger, Level level, String text, Object[] parameters, Throwable fault) {
        def option = level == Level.WARN ? (text =~ /^Unrecognized config option 'process\.(.*)'$/) : null
        return option && isKnown(option.group(1)) ? FilterReply.DENY : FilterReply.NEUTRAL
    }

    private static boolean isKnown(String option) {
        def names = option.tokenize('.')
        def selected = names.findIndexOf { name -> name ==~ /with(Label|Name):.*/ } // a selector may hold dots
        def candidates = selected < 0 ? names.take(1) : names.drop(selected + 1)
        return (selected >= 0 || names.size() > 1) && candidates.any { name -> SchemaNode.ROOT.getChild(['process', name]) != null }
    }
}
