<?php
// The three paths. A persistent connection keeps its prepared statements, so each process prepares each of them once.

function rows(string $name, array $integers): array
{
    // The environment (PGHOST and the like) names the database.
    $db = pg_pconnect('') ?: throw new RuntimeException('no connection');
    $result = @pg_execute($db, $name, []);
    if ($result === false) { // a new connection
        @pg_prepare($db, $name, file_get_contents(getenv('SQL_DIR') . "/$name.sql"));
        $result = @pg_execute($db, $name, []);
    }
    if ($result === false) {
        throw new RuntimeException(pg_last_error($db));
    }
    $rows = pg_fetch_all($result);
    // The driver gives numbers as strings.
    foreach ($integers as $column) {
        foreach ($rows as &$row) {
            if ($row[$column] !== null) {
                $row[$column] = (int) $row[$column];
            }
        }
        unset($row);
    }
    return $rows;
}

header('Content-Type: application/json');
switch ($_SERVER['DOCUMENT_URI']) {
    case '/index':
        echo json_encode(['hello' => 'world']);
        break;
    case '/agents':
        echo json_encode(rows('agents', []));
        break;
    case '/agents_with_orm':
        echo json_encode(rows('agents_with_orm', ['id', 'numgroup', 'autologoff']));
        break;
    default:
        http_response_code(404);
        echo json_encode(['error' => 'there is nothing at this path']);
}
