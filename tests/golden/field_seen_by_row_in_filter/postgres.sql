SELECT string_agg(j, chr(30)) FILTER (WHERE n < $4::bigint), count(*), max(k0) FILTER (WHERE n = $4::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"text":', to_json(t0."text"), ',"remark":', coalesce((to_json(CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END))::text, 'null'), '}') AS j, (t0."id")::text AS k0
    FROM "reviews" AS t0
    WHERE ((t0."hidden" <> $2::boolean
        OR t0."author_id" = $1::uuid)
      AND strpos(CASE WHEN t0."author_id" = $1::uuid THEN t0."remark__folded" END, $3::text) > 0)
    ORDER BY t0."id"
    LIMIT $4::bigint) AS page) AS numbered
