<?php
require 'autoload.php';

use Illuminate\Database\Capsule\Manager as DB;

// docs: from here
use Illuminate\Database\Connection;
use Illuminate\Database\MySqlConnection;

/** Names keys in every write that is sent while a callback runs. */
class TaggingConnection extends MySqlConnection
{
    private string $tag = '';

    public function tagged(array $keys, callable $writes)
    {
        $before = $this->tag;
        $this->tag = '/* mc: ' . implode(' ', array_map('rawurlencode', $keys)) . ' */';
        try {
            return $writes();
        } finally {
            $this->tag = $before;
        }
    }

    protected function run($query, $bindings, Closure $callback)
    {
        if ($this->tag !== '') {
            $query = preg_replace('/^(insert|update|delete|replace) /i', '$1 ' . $this->tag . ' ', $query);
        }
        return parent::run($query, $bindings, $callback);
    }
}

// In a service provider's register().
Connection::resolverFor('mysql', fn (...$of) => new TaggingConnection(...$of));
// docs: to here

$db = new DB();
$db->addConnection(['driver' => 'mysql', 'host' => '127.0.0.1', 'port' => getenv('RECIPE_PORT'), 'database' => 'shop',
    'username' => 'root', 'password' => '', 'charset' => 'utf8mb4', 'collation' => 'utf8mb4_unicode_ci']);
$db->setAsGlobal();

// docs: from here
DB::connection()->tagged(['user:1', 'user:1:friends'], fn () =>
    DB::table('users')->where('id', 1)->update(['name' => 'Grace /* mc: forged */']));
// docs: to here

// The rest by Eloquent, which writes by the same connection.
class User extends Illuminate\Database\Eloquent\Model
{
    public $timestamps = false;
    protected $guarded = [];
}
$db->bootEloquent();

$email = 'd\'arcy,100%*/\\@example.com';
$user = DB::connection()->tagged(['users:newest', "user_by_email:$email"], fn () => User::create(['name' => 'Ada', 'email' => $email]));
DB::connection()->tagged(["user:$user->id", "user_by_email:$email"], fn () => $user->delete());

echo "Laravel\t", laravel_version(), "\nPHP\t", PHP_VERSION, "\n";
