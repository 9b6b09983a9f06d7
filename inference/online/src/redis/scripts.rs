//! Changes as scripts that Redis runs whole: no other change comes between their steps.

use redis::{Cmd, cmd};

/// Replaces a row: fields of columns go and come; a user's purchases stay unless they are given.
const PUT: &str = "local key = KEYS[1]
local history = redis.call('HGET', key, 'history')
redis.call('DEL', key)
if history then redis.call('HSET', key, 'history', history) end
redis.call('HSET', key, 'row', 'whole', 'at', ARGV[1])
for i = 2, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
return 0";

/// Changes fields of a row: over the snapshot's, or over nothing where it was deleted.
const PATCH: &str = "local key = KEYS[1]
if redis.call('HDEL', key, 'deleted') == 1 then redis.call('HSET', key, 'row', 'whole')
else redis.call('HSETNX', key, 'row', 'over') end
redis.call('HSET', key, 'at', ARGV[1])
for i = 2, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
return 0";

/// Deletes what was put, and what else there is, and remembers that.
const DELETE: &str = "for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('HSET', KEYS[1], 'deleted', '1', 'at', ARGV[1])
return 0";

/// Forgets the earliest interactions beyond those to keep. Records begin with a fingerprint of 16 digits and a time of 15.
const FORGET: &str = "local key, most = KEYS[1], tonumber(ARGV[1])
local all, times = redis.call('HGETALL', key), {}
for i = 1, #all, 2 do times[#times + 1] = {string.sub(all[i + 1], 17, 31), all[i]} end
table.sort(times, function(a, b) if a[1] == b[1] then return a[2] < b[2] end return a[1] < b[1] end)
for i = 1, #times - most do redis.call('HDEL', key, times[i][2]) end
return 0";

pub(super) fn put(key: &str, at: &str, fields: Vec<(String, String)>) -> Cmd {
    with_fields(PUT, key, at, fields)
}

pub(super) fn patch(key: &str, at: &str, fields: Vec<(String, String)>) -> Cmd {
    with_fields(PATCH, key, at, fields)
}

pub(super) fn delete(key: &str, at: &str) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(DELETE).arg(1).arg(key).arg(at);
    script
}

pub(super) fn delete_user(key: &str, interactions: &str, at: &str) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(DELETE).arg(2).arg(key).arg(interactions).arg(at);
    script
}

pub(super) fn forget(key: &str, most: usize) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(FORGET).arg(1).arg(key).arg(most);
    script
}

fn with_fields(script: &str, key: &str, at: &str, fields: Vec<(String, String)>) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(script).arg(1).arg(key).arg(at);
    for (field, value) in fields {
        command.arg(field).arg(value);
    }
    command
}
