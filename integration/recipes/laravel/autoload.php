<?php
// Debian's own autoloaders want to live in /usr/share/php, which this is not.
const FOLDERS = ['', 'Illuminate/Collections' => 'Illuminate/Support', 'Illuminate/Macroable' => 'Illuminate/Support',
    'Illuminate/Conditionable' => 'Illuminate/Support'];

spl_autoload_register(function (string $class) {
    $path = str_replace('\\', '/', $class) . '.php';
    foreach (FOLDERS as $folder => $namespace) {
        $file = $folder === 0 ? $path : str_replace("$namespace/", "$folder/", $path);
        if ($found = stream_resolve_include_path($file)) {
            require_once $found;
            return;
        }
    }
});
require 'Illuminate/Collections/helpers.php';
require 'Illuminate/Support/helpers.php';

function laravel_version(): string
{
    $log = gzfile(dirname(stream_resolve_include_path('Illuminate')) . '/../doc/php-illuminate-database/changelog.Debian.gz');
    return preg_match('/\(([0-9.]+)/', $log[0], $version) ? $version[1] : 'unknown';
}
